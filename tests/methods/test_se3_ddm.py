"""SE(3)-DDM against the published score networks, an implementation by loops, and its symmetries."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

import molspectra as ms
from molspectra.testing import EDGE_MOLECULES, edge_molecule, random_orthogonal

WEIGHTS = {
    **{f"input_distance_mlp.layers.{i}": f"distance_mlp.{2 * i}" for i in range(2)},
    **{f"output_mlp.layers.{i}": f"mlp.{2 * i}" for i in range(3)},
}
POWERS = (0.05, 2, 5, 10)
CASES = [(batch, network) for batch in "abc" for network in (1, 2)]
every_case = pytest.mark.parametrize(("name", "network"), CASES)


@pytest.fixture(scope="module")
def published(load_fixture):
    return load_fixture("se3_ddm/se3_ddm.safetensors")


def published_head(numbers, network):
    head = ms.heads.DistanceScoreHead(32, as_released=True)
    weights = {
        f"{ours}.{kind}": numbers[f"state.{network}.{theirs}.{kind}"]
        for theirs, ours in WEIGHTS.items()
        for kind in ("weight", "bias")
    }
    head.load_state_dict(weights)
    return head.double()


def published_noise(numbers, name, network, **arguments):
    """Return the view whose distances a network denoises, under the stored draws."""
    view = Data(z=numbers[f"{name}.z"], pos=numbers[f"{name}.pos_{3 - network}"], batch=numbers[f"{name}.batch"])
    view.num_graphs = len(numbers[f"{name}.noise_level_{network}"])
    normals = numbers[f"{name}.pair_noise_{network}"].squeeze(1)
    noise = ms.noise.DistanceNoise(**arguments)
    return noise.perturb(view, numbers[f"{name}.noise_level_{network}"], numbers[f"{name}.pair_index"], normals)


def molecule_of_pairs(noisy):
    return noisy.batch[noisy.pair_index[0]]


@every_case
def test_the_published_noise(published, name, network):
    noisy = published_noise(published, name, network)
    expected = {key: published[f"{name}.f64.net{network}.{key}"] for key in ("noisy_distance", "target")}
    assert_close(noisy.noisy_distance, expected["noisy_distance"].squeeze(1), rtol=1e-6, atol=0)
    scale = noisy.noise_scale[molecule_of_pairs(noisy)]
    assert_close(noisy.score_target / scale, expected["target"], rtol=1e-6, atol=1e-9)


def test_the_published_scales(published):
    levels = torch.arange(50)
    assert_close(ms.noise.ladder.scale_of(levels, 10, 0.01, 50), published["state.1.sigmas"], rtol=2e-7, atol=0)


@every_case
def test_the_published_scores_losses_and_gradients(published, name, network):
    head = published_head(published, network)
    features = published[f"{name}.node_feature_{network}"].requires_grad_()
    noisy = published_noise(published, name, network)
    # The release computes its scales in float32 by another formula, which differs in the last bit.
    noisy.noise_scale = published["state.1.sigmas"][noisy.noise_level].double()
    noisy.noisy_distance = published[f"{name}.f64.net{network}.noisy_distance"].squeeze(1)
    score = head(ms.encoders.AtomFeatures(features), noisy)
    molecule = molecule_of_pairs(noisy)
    expected = published[f"{name}.f64.net{network}.score"]
    assert_close(score / noisy.noise_scale[molecule], expected, rtol=1e-12, atol=1e-12)
    for power in POWERS:
        objective = ms.objectives.DistanceScoreLoss(power, as_released=True)
        loss = objective(score, noisy.score_target, noisy.noise_scale, molecule)
        assert_close(loss, published[f"{name}.f64.net{network}.power{power}.loss"], rtol=1e-12, atol=1e-12)
        if power != 2:
            continue
        names, parameters = zip(*head.named_parameters(), strict=True)
        by_features, *by_weights = torch.autograd.grad(loss, [features, *parameters], retain_graph=True)
        of_features = published[f"{name}.f64.net{network}.power2.grad_node_feature"]
        assert_close(by_features, of_features, rtol=1e-10, atol=1e-10)
        gradients = dict(zip(names, by_weights, strict=True))
        for theirs, ours in WEIGHTS.items():
            for kind in ("weight", "bias"):
                of_weight = published[f"{name}.f64.net{network}.grad.{theirs}.{kind}"]
                assert_close(gradients[f"{ours}.{kind}"], of_weight, rtol=1e-10, atol=1e-10)


def test_a_lone_atom_at_the_end_of_a_batch_is_left_out_of_the_released_mean(published):
    """Of the four molecules of batch c, two are lone atoms, in the middle and at the end."""
    noisy = published_noise(published, "c", 1)
    molecule = molecule_of_pairs(noisy)
    zeros = torch.zeros_like(noisy.score_target)
    pairs = 0.5 * noisy.score_target.square()
    released = ms.objectives.DistanceScoreLoss(as_released=True)(zeros, noisy.score_target, noisy.noise_scale, molecule)
    ours = ms.objectives.DistanceScoreLoss(reduce="sum")(zeros, noisy.score_target, noisy.noise_scale, molecule)
    assert_close(released, pairs.sum() / 3)
    assert_close(ours, pairs.sum() / 2)


def by_loops(method, encoder, batch, generator):
    """The loss of SE(3)-DDM molecule by molecule and pair by pair, from the same draws."""
    view = method.noise(batch, generator)
    noisy = {"clean_to_noisy": method.distance_noise(view, generator), "noisy_to_clean": None}
    noisy["noisy_to_clean"] = method.distance_noise(batch, generator)
    terms = {}
    for name, head, read, of in (
        ("clean_to_noisy", method.head, batch, view),
        ("noisy_to_clean", method.noisy_head, view, batch),
    ):
        atoms, drawn = encoder(read.z, read.pos, read.batch), noisy[name]
        invariant = atoms.scalars
        if atoms.vectors is not None:
            invariant = invariant + ms.layers.gated.smooth_norm(atoms.vectors)
        normals = dict(zip(map(tuple, drawn.pair_index.T.tolist()), -drawn.score_target, strict=True))
        of_molecules = []
        for molecule in range(batch.num_graphs):
            rows = (batch.batch == molecule).nonzero().squeeze(1).tolist()
            scale = 10 * (0.01 / 10) ** (int(drawn.noise_level[molecule]) / 49)
            losses = []
            for i, j in itertools.combinations(rows, 2):
                distance = math.dist(of.pos[i].tolist(), of.pos[j].tolist()) + scale * normals[i, j]
                embedded = head.distance_mlp(distance.reshape(1))
                s = head.mlp(torch.cat([invariant[i] + invariant[j], embedded]))
                losses.append(scale**2 * (s / scale + normals[i, j] / scale) ** 2 / 2)
            if losses:
                of_molecules.append(torch.stack(losses).mean())
        terms[name] = torch.stack(of_molecules).mean()
    return terms


def test_is_what_loops_compute(generator):
    batch = Batch.from_data_list([ms.data.from_smiles(smiles) for smiles in ("O", "[He]", "C#N", "CO")])
    batch.pos = batch.pos.double()
    encoder, method = ms.encoders.PaiNN(8, 1, 4).double(), ms.methods.SE3DDM(8).double()
    losses = method(encoder, batch, generator())
    expected = by_loops(method, encoder, batch, generator())
    for name, term in expected.items():
        assert_close(losses[name], term, rtol=1e-6, atol=1e-9)  # scales are rounded to float32
    assert_close(losses["loss"], sum(expected.values()) / 2, rtol=1e-6, atol=1e-9)


def test_rotation_reflection_translation_and_order_leave_the_scores_as_they_are():
    molecule = ms.data.from_smiles("C[C@H](O)N")
    molecule.pos = molecule.pos.double()
    noise, encoder = ms.noise.DistanceNoise(), ms.encoders.PaiNN(8, 1, 4).double()
    head = ms.heads.DistanceScoreHead(8).double()
    pairs = noise.draw_pairs(molecule)
    level, normals = torch.tensor([20]), torch.randn(pairs.shape[1], dtype=torch.float64)

    def scores(z, pos, pairs):
        noisy = noise.perturb(Data(z=z, pos=pos), level, pairs, normals)
        return head(encoder(z, pos), noisy), noisy.noisy_distance

    expected = scores(molecule.z, molecule.pos, pairs)
    for determinant in (1, -1):
        moved = molecule.pos @ random_orthogonal(torch.float64, determinant).T + torch.randn(3, dtype=torch.float64)
        assert_close(scores(molecule.z, moved, pairs), expected, rtol=1e-10, atol=1e-10)
    order = torch.randperm(len(molecule.z))
    place = order.argsort()
    renumbered = scores(molecule.z[order], molecule.pos[order], place[pairs].flip(0))
    assert_close(renumbered, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pairs", ["unordered", "ordered"])
def test_a_batch_is_its_molecules_one_by_one(pairs):
    molecules = [ms.data.from_smiles(smiles) for smiles in ("O", "C#N", "CO")]
    batch = Batch.from_data_list(molecules)
    noise = ms.noise.DistanceNoise(pairs=pairs)
    together = noise.draw_pairs(batch)
    first = batch.ptr[batch.batch[together[0]]]
    alone = [noise.draw_pairs(molecule) for molecule in molecules]
    assert torch.equal(together - first, torch.cat(alone, dim=1))
    expected = itertools.combinations if pairs == "unordered" else itertools.permutations
    for molecule, drawn in zip(molecules, alone, strict=True):
        assert set(map(tuple, drawn.T.tolist())) == set(expected(range(len(molecule.z)), 2))
    loss = ms.objectives.DistanceScoreLoss()
    predicted, target, of_pairs = *torch.randn(2, together.shape[1]), batch.batch[together[0]]
    scale = torch.tensor([0.1, 1.0, 3.0])
    whole = loss(predicted, target, scale, of_pairs)
    parts = [loss(predicted[of_pairs == m], target[of_pairs == m], scale[m : m + 1]) for m in range(3)]
    assert_close(whole, torch.stack(parts).mean())


def test_pairs_of_collated_molecules_are_those_of_the_batch(generator):
    noise = ms.noise.DistanceNoise(max_std=1e-6, min_std=1e-6)
    molecules = [noise(ms.data.from_smiles(smiles), generator()) for smiles in ("O", "C#N", "CO")]
    batch = next(iter(DataLoader(molecules, batch_size=3)))
    first, second = batch.pair_index
    assert torch.equal(batch.batch[first], batch.batch[second])
    assert_close(batch.noisy_distance, (batch.pos[first] - batch.pos[second]).norm(dim=1), rtol=0, atol=1e-4)


def test_a_share_of_the_pairs(generator):
    batch = Batch.from_data_list([ms.data.from_smiles(smiles) for smiles in ("O", "[He]", "CCO", "C#N")])
    numbers = {}
    for as_released in (False, True):
        noise = ms.noise.DistanceNoise(ratio=0.1, as_released=as_released)
        draws = [noise.draw_pairs(batch, generator(seed)) for seed in range(20)]
        everything = set(map(tuple, ms.noise.DistanceNoise().draw_pairs(batch).T.tolist()))
        for pairs in draws:
            drawn = list(map(tuple, pairs.T.tolist()))
            assert len(set(drawn)) == len(drawn)
            assert set(drawn) <= everything
            assert drawn == sorted(drawn)
        numbers[as_released] = torch.bincount(batch.batch[draws[0][0]], minlength=4).tolist()
        of_ethanol = torch.cat([pairs[:, batch.batch[pairs[0]] == 2] for pairs in draws], dim=1)
        assert len(set(map(tuple, of_ethanol.T.tolist()))) > 20  # drawn anew
    assert numbers == {False: [1, 0, 3, 1], True: [0, 0, 3, 0]}


def test_noisy_distances_have_the_spread_of_their_level(generator):
    batch = Batch.from_data_list([ms.data.from_smiles("O")] * 2000)
    noise = ms.noise.DistanceNoise()
    levels = torch.full((2000,), 10)
    pairs = noise.draw_pairs(batch)
    normals = torch.randn(pairs.shape[1], generator=generator())
    noisy = noise.perturb(batch, levels, pairs, normals)
    distance = (batch.pos[pairs[0]] - batch.pos[pairs[1]]).norm(dim=1)
    assert (noisy.noisy_distance - distance).std().item() == pytest.approx(10 * 1e-3 ** (10 / 49), rel=0.03)
    drawn = noise(batch, generator()).noise_level.bincount(minlength=50)
    assert len(drawn) == 50
    assert drawn.min() > 10


@pytest.mark.parametrize("name", EDGE_MOLECULES)
def test_edge_molecules(name, generator):
    z, pos = edge_molecule(name)
    encoder, method = ms.encoders.PaiNN(8, 1, 4), ms.methods.SE3DDM(8)
    losses = method(encoder, Data(z=z, pos=pos.requires_grad_()), generator())
    losses["loss"].backward()
    assert losses["loss"].isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in [pos, *encoder.parameters()])


def test_any_encoder_fits_and_released_heads_read_scalars_alone(batch, generator, make_encoder):
    encoder = make_encoder()
    for as_released in (False, True):
        method = ms.methods.SE3DDM(16, as_released=as_released)
        encoder.zero_grad()
        method(encoder, batch, generator())["loss"].backward()
        waiting = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
        assert bool(waiting) == as_released
    scalars = ms.encoders.FunctionEncoder(lambda z, pos, batch: z.float().unsqueeze(1).expand(-1, 16), out_channels=16)
    assert ms.methods.SE3DDM(16)(scalars, batch, generator())["loss"].isfinite()


@pytest.mark.parametrize("reduce", ["molecule", "pair", "sum"])
def test_without_pairs_the_loss_is_zero(reduce):
    loss = ms.objectives.DistanceScoreLoss(reduce=reduce)
    nothing = torch.zeros(0, requires_grad=True)
    for molecule in (None, torch.zeros(0, dtype=torch.int64)):
        value = loss(nothing, torch.zeros(0), torch.ones(1), molecule)
        assert value == 0
        value.backward()


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ms.noise.DistanceNoise(0.1, 1.0), "0 < min_std <= max_std"),
        (lambda: ms.noise.DistanceNoise(ratio=0), r"ratio must be in \(0, 1\].*got 0"),
        (lambda: ms.noise.DistanceNoise(pairs="all"), "pairs must be"),
        (lambda: ms.objectives.DistanceScoreLoss(reduce="mean"), "reduce must be"),
    ],
)
def test_wrong_settings(make, error):
    with pytest.raises(ValueError, match=error):
        make()


@pytest.mark.usefixtures("no_shape_checks")
def test_given_draws_must_fit(batch):
    noise = ms.noise.DistanceNoise()
    pairs = noise.draw_pairs(batch)
    with pytest.raises(ValueError, match=r"noise_level must have shape \(6,\).*got \(2,\)"):
        noise.perturb(batch, torch.zeros(2, dtype=torch.int64), pairs, torch.zeros(pairs.shape[1]))
    with pytest.raises(ValueError, match=r"noise_level must lie in 0\.\.49; got 0 to 50"):
        noise.perturb(batch, torch.tensor([0, 0, 0, 0, 0, 50]), pairs, torch.zeros(pairs.shape[1]))
    with pytest.raises(ValueError, match=r"normals must have shape .* got \(3,\)"):
        noise.perturb(batch, torch.zeros(6, dtype=torch.int64), pairs, torch.zeros(3))


def test_the_head_needs_pairs(batch, make_encoder):
    atoms = make_encoder()(batch.z, batch.pos, batch.batch)
    with pytest.raises(ValueError, match="DistanceScoreHead needs data with pair_index and noisy_distance"):
        ms.heads.DistanceScoreHead(16)(atoms, batch)
