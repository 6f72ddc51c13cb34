"""DeNS against the published encoding, corruption and losses, an implementation by loops, and its symmetries."""

import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.testing import random_orthogonal, without_shape_checks
from molspectra.testing.symmetry import wigner

DRAWS = pytest.mark.parametrize("case", ["md17.partial", "md17.whole", "md17.none", "oc20.partial", "oc20.schedule"])
ENCODERS = {
    "EquivariantTransformer": lambda: ms.encoders.EquivariantTransformer(8, 2, 2, 4),
    "GET": lambda: ms.encoders.GET(8, 2, 2, 4),
    "PaiNN": lambda: ms.encoders.PaiNN(8, 2, 4),
    "IrrepsTransformer": lambda: ms.encoders.IrrepsTransformer(8, 2, 2, l_max=2, num_rbf=4),
}
every_encoder = pytest.mark.parametrize("name", ENCODERS)


@pytest.fixture(scope="module")
def published(load_fixture):
    return load_fixture("dens/dens.safetensors")


def structures(published, forces=1.0):
    data = Data(z=published["z"], pos=published["pos_clean"], batch=published["batch"], num_graphs=4)
    data.forces, data.energy = published["forces"] * forces, published["energy"]
    return data


def labelled(number=4):
    """Molecules in float64 with energies and forces."""
    batch = Batch.from_data_list([ms.data.from_smiles(smiles) for smiles in ("O", "C#N", "CO", "CCO")][:number])
    batch.pos = batch.pos.double()
    batch.forces, batch.energy = torch.randn_like(batch.pos), torch.randn(number, dtype=torch.float64)
    return batch


def in_components(features):
    """Degrees 0, 1, … of features beside each other, (N, components, F)."""
    return torch.cat([features.degree(degree) for degree in range(features.l_max + 1)], dim=1)


# Published numbers


@pytest.mark.parametrize("case", ["partial", "whole", "none"])
def test_the_published_encoding_of_md17(published, case):
    encoding = ms.methods.ForceEncoding(8, l_max=2, bias=True).double()
    widths = [8, 4, 4]
    weights = published["md17.state.force_embed.tp.weight"].split(widths)
    with torch.no_grad():
        for linear, weight in zip(encoding.degrees, weights, strict=True):
            linear.weight.zero_()[: len(weight), 0] = weight
        encoding.degrees[0].bias.copy_(published["md17.state.force_embed.bias.0"])
    # The release multiplies the forces by the mask before it encodes them.
    expected = published[f"md17.{case}.f64.force_embedding"].split([8, 12, 20], dim=1)
    features = encoding(published[f"md17.{case}.force_encoded"])
    for degree, (of_degree, width) in enumerate(zip(expected, widths, strict=True)):
        actual = features.degree(degree)[..., :width].transpose(1, 2).flatten(1)
        assert_close(actual, of_degree, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ["partial", "whole", "schedule"])
def test_the_published_encoding_of_oc20(published, case):
    encoding = ms.methods.ForceEncoding(8, l_max=3, bias=True).double()
    with torch.no_grad():
        for linear, weight in zip(encoding.degrees, published["oc20.force_embedding.weight"], strict=True):
            linear.weight.copy_(weight)
        encoding.degrees[0].bias.copy_(published["oc20.force_embedding.bias"])
    forces = structures(published, 1 / 20).forces
    mask = published.get(f"oc20.{case}.noise_mask", torch.ones(len(forces), dtype=torch.bool))
    features = in_components(encoding(forces, mask))
    assert_close(features, published[f"oc20.{case}.force_embedding"], rtol=1e-12, atol=1e-12)


@DRAWS
def test_the_published_positions(published, case):
    """Fixed atoms of OC20 are marked as corrupted in the release, and do not move."""
    oc20 = case.startswith("oc20")
    data = structures(published)
    data.fixed = published["oc20.fixed"]
    noise = ms.noise.DeNSNoise(fixed="fixed" if oc20 else None)
    mask = published.get(f"{case}.noise_mask", torch.ones(len(data.z), dtype=torch.bool))
    noisy = noise.corrupt(data, mask, published.get(f"{case}.noise_vec", torch.zeros_like(data.pos)))
    assert_close(noisy.pos, published[f"{case}.{'pos' if oc20 else 'pos_corrupted'}"], rtol=0, atol=1e-14)
    assert torch.equal(noisy.corrupted, mask & (data.fixed == 0) if oc20 else mask)
    assert torch.equal(data.pos, published["pos_clean"])


@pytest.mark.parametrize("case", ["partial", "whole", "none"])
def test_the_published_losses_of_md17(published, case):
    data, loss = structures(published), ms.objectives.VectorErrorLoss()
    noisy = ms.noise.DeNSNoise(0.05).corrupt(
        data,
        published[f"md17.{case}.noise_mask"],
        published.get(f"md17.{case}.noise_vec", torch.zeros_like(data.pos)),
    )
    vectors = published[f"md17.{case}.f64.vectors"]
    terms = {
        "loss_energy": (published[f"md17.{case}.f64.energy"] - (data.energy - 5) / 37).abs().mean(),
        "loss_force": loss(vectors, data.forces / 37, ~noisy.corrupted),
        "loss_denoise": loss(vectors, noisy.pos_target / 0.05, noisy.corrupted),
    }
    for name, term in terms.items():
        expected = published.get(f"md17.{case}.f64.{name}")
        assert_close(term, torch.zeros_like(term) if expected is None else expected, rtol=1e-12, atol=1e-12)
    total = terms["loss_energy"] + 80 * terms["loss_force"] + 5 * terms["loss_denoise"]
    assert_close(total, published[f"md17.{case}.f64.loss"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("case", "std"), [("partial", 0.1), ("schedule", 0.5)])
def test_the_published_losses_of_oc20_are_ours_weighted_by_the_share_of_atoms(published, case, std):
    """There, one mean runs over moved and unmoved atoms, in units of the largest σ."""
    data, loss = structures(published, 1 / 20), ms.objectives.VectorErrorLoss()
    free, moved = published["oc20.fixed"] == 0, published[f"oc20.{case}.noise_mask"]
    target = torch.where(moved.unsqueeze(1), published[f"oc20.{case}.noise_vec"] / std, data.forces / 2.887)
    vectors = published["oc20.predicted_vectors"]
    share = (moved & free).double().sum() / free.sum()
    energy = (published["oc20.predicted_energy"] - (data.energy.flatten() + 0.75) / 2.887).abs().mean()
    of_forces, of_noise = loss(vectors, target, free & ~moved), loss(vectors, target, free & moved)
    total = 4 * energy + 100 * (1 - share) * of_forces + 10 * share * of_noise
    assert_close(total, published[f"oc20.{case}.all_atoms_False.loss"], rtol=1e-12, atol=1e-12)


# Encoding


def test_forces_are_encoded_by_length_and_direction():
    encoding = ms.methods.ForceEncoding(1, l_max=3).double()
    with torch.no_grad():
        for linear in encoding.degrees:
            linear.weight.fill_(1.0)
    forces = torch.randn(6, 3, dtype=torch.float64)
    forces[2] = 0
    features = encoding(forces)
    length = forces.norm(dim=1)
    assert_close(features.scalars[:, 0], length / math.sqrt(3))
    assert_close(features.vectors[..., 0], forces)
    for degree in (2, 3):
        assert_close(features.degree(degree)[..., 0].norm(dim=1), length * math.sqrt((2 * degree + 1) / 3))
    assert not in_components(features)[2].any()
    for determinant in (1, -1):
        turn = random_orthogonal(torch.float64, determinant)
        turned = encoding(forces @ turn.T)
        for degree in range(4):
            expected = wigner(degree, turn) @ features.degree(degree)
            assert_close(turned.degree(degree), expected, rtol=1e-9, atol=1e-9)


def test_forces_outside_the_mask_may_be_unknown():
    encoding, mask = ms.methods.ForceEncoding(4).float(), torch.tensor([True, False])
    forces = torch.tensor([[1.0, 2.0, 3.0], [torch.nan, 0.0, 1.0]], dtype=torch.float32)
    features = encoding(forces, mask)
    with pytest.raises(TypeError, match=r"forces must be torch.float32, as the weights are; got torch.float64"):
        encoding(forces.double(), mask)
    assert in_components(features).isfinite().all()
    assert not in_components(features)[1].any()
    features.vectors.sum().backward()
    assert all(linear.weight.grad is None or linear.weight.grad.isfinite().all() for linear in encoding.degrees)


@every_encoder
def test_features_turn_with_molecule_and_forces(name):
    encoder, batch = ENCODERS[name]().double(), labelled()
    encoding = ms.methods.ForceEncoding(8, l_max=2 if name == "IrrepsTransformer" else 1).double()

    def features(pos, forces):
        return encoder(batch.z, pos, batch.batch, context=encoding(forces))

    plain, told = encoder(batch.z, batch.pos, batch.batch), features(batch.pos, batch.forces)
    assert not torch.allclose(plain.vectors, told.vectors)
    assert_close(in_components(features(batch.pos, torch.zeros_like(batch.pos))), in_components(plain))
    for determinant in (1, -1):
        turn = random_orthogonal(torch.float64, determinant)
        moved = features(batch.pos @ turn.T + 1.0, batch.forces @ turn.T)
        for degree in range(told.l_max + 1):
            expected = wigner(degree, turn) @ told.degree(degree)
            assert_close(moved.degree(degree), expected, rtol=1e-8, atol=1e-8)


def test_encoders_without_vectors_in_their_context_are_refused():
    batch = labelled()
    scalars = ms.encoders.FunctionEncoder(lambda z, pos, batch, context=None: pos, out_channels=3)
    for encoder in (ms.encoders.EGNN(8, 1).double(), scalars, lambda z, pos, batch, context=None: None):
        with without_shape_checks(), pytest.raises(ValueError, match="takes no vectors as `context`.*Use Equivariant"):
            ms.methods.DeNS(8).double()(encoder, batch)
    for encoder in (
        ms.encoders.IrrepsTransformer(8, 1, 2, l_max=1),
        *(ENCODERS[name]() for name in list(ENCODERS)[:2]),
    ):
        with pytest.raises(ValueError, match=r"context must have degrees up to 1, as the encoder has; got 2"):
            ms.methods.DeNS(8, l_max=2).double()(encoder.double(), batch)
    told = ms.methods.ForceEncoding(8).double()(batch.forces)
    with without_shape_checks():
        wrong = ms.encoders.AtomFeatures(told.scalars, told.vectors[:4])
    with (
        without_shape_checks(),
        pytest.raises(TypeError, match="context must be a tensor .* for EGNN.*context.scalars"),
    ):
        ms.encoders.EGNN(8, 1).double()(batch.z, batch.pos, batch.batch, context=told)
    with without_shape_checks(), pytest.raises(ValueError, match=r"vectors of shape \(21, 3, 8\).*got \(4, 3, 8\)"):
        ENCODERS["PaiNN"]().double()(batch.z, batch.pos, batch.batch, context=wrong)


def test_a_context_of_scalars_alone_is_one_for_every_encoder():
    batch, scalars = labelled(), torch.randn(21, 8, dtype=torch.float64)
    for encoder in (ms.encoders.EGNN(8, 1), *(make() for make in ENCODERS.values())):
        encode = partial(ms.methods.encode, encoder.double(), batch)
        told = encode(context=ms.encoders.AtomFeatures(scalars))
        assert_close(in_components(told), in_components(encode(context=scalars)))


def test_encoders_of_another_width_are_refused():
    batch = labelled()
    with without_shape_checks(), pytest.raises(ValueError, match=r"context must have 8 channels"):
        ms.methods.DeNS(4).double()(ENCODERS["PaiNN"]().double(), batch)


# Noise


def test_who_is_moved(generator):
    batch = Batch.from_data_list([labelled(1)] * 4000)
    noisy = ms.noise.DeNSNoise(0.05, 0.25, 0.5)(batch, generator())
    moved = noisy.corrupted.view(4000, 3)
    assert moved.double().mean().item() == pytest.approx(0.125, abs=0.01)
    assert moved.any(dim=1).double().mean().item() == pytest.approx(0.25 * (1 - 0.5**3), abs=0.02)
    assert noisy.pos_target[noisy.corrupted].std().item() == pytest.approx(0.05, rel=0.03)
    assert not noisy.pos_target[~noisy.corrupted].any()
    assert_close(noisy.pos, batch.pos + noisy.pos_target)


def test_atoms_that_are_fixed_or_without_a_force_stay():
    batch = labelled()
    batch.forces[3, 1] = torch.nan
    batch.fixed = torch.arange(len(batch.z)) % 2 == 0
    noisy = ms.noise.DeNSNoise(0.1, 1.0, 1.0, fixed="fixed")(batch)
    assert torch.equal(noisy.corrupted, ~batch.fixed & (torch.arange(len(batch.z)) != 3))


def test_a_range_of_noise_is_predicted_in_units_of_each(generator):
    batch = labelled()
    noisy = ms.noise.DeNSNoise((0.01, 0.5), 1.0, 1.0)(batch, generator())
    assert len(set(noisy.noise_scale.tolist())) == 4
    assert ((noisy.noise_scale >= 0.01) & (noisy.noise_scale <= 0.5)).all()
    alone = ms.noise.CoordNoise((0.01, 0.5))
    assert alone.std == (0.01, 0.5)


# Training


def by_loops(method, encoder, batch, generator):
    noisy = method.noise(batch, generator)
    pos = noisy.pos.clone().requires_grad_()
    told = torch.zeros_like(batch.forces)
    told[noisy.corrupted] = batch.forces[noisy.corrupted] / method.label_std
    atoms = encoder(batch.z, pos, batch.batch, context=method.force_encoding(told))
    energy = method.regression.head(atoms, batch)
    gradient = torch.autograd.grad(energy.sum(), pos, create_graph=True)[0]
    denoised = method.noise_head(atoms)
    forces, displacements = [], []
    for i in range(len(batch.z)):
        if noisy.corrupted[i]:
            displacements.append((denoised[i] - noisy.pos_target[i] / method.noise.std).norm())
        else:
            forces.append((-gradient[i] - batch.forces[i]).norm() / method.label_std)
    of_energies = [abs(energy[m, 0] - batch.energy[m]) / method.label_std for m in range(batch.num_graphs)]
    return sum(of_energies) / len(of_energies), sum(forces) / len(forces), sum(displacements) / len(displacements)


@every_encoder
def test_is_what_loops_compute(name, generator):
    batch, encoder = labelled(), ENCODERS[name]().double()
    method = ms.methods.DeNS(8, 0.1, molecule_ratio=0.9, atom_ratio=0.5, label_std=3.0).double()
    losses = method(encoder, batch, generator())
    of_energy, of_forces, of_noise = by_loops(method, encoder, batch, generator())
    assert_close(losses["property"], of_energy)
    assert_close(losses["forces"], of_forces)
    assert_close(losses["denoising"], of_noise)
    assert_close(losses["loss"], of_energy + 80 * of_forces + 5 * of_noise)


@pytest.mark.parametrize("prediction", ["gradient", "vector"])
@every_encoder
def test_the_loss_does_not_change_when_the_structures_move(name, prediction):
    """With the same atoms moved by the same noise, which turns with them."""
    batch, encoder = labelled(), ENCODERS[name]().double()
    method = ms.methods.DeNS(8, prediction=prediction).double()
    drawn, displacement = torch.arange(len(batch.z)) % 3 == 0, 0.05 * torch.randn_like(batch.pos)
    turn = random_orthogonal(torch.float64, -1)
    losses = []
    for turned in (torch.eye(3, dtype=torch.float64), turn):
        molecules = batch.clone()
        molecules.pos, molecules.forces = batch.pos @ turned.T, batch.forces @ turned.T
        noise = ms.noise.DeNSNoise(0.05)
        method.noise = lambda data, _, turned=turned, noise=noise: noise.corrupt(data, drawn, displacement @ turned.T)
        losses.append(method(encoder, molecules))
    for name_of_part, loss in losses[0].items():
        assert_close(losses[1][name_of_part], loss, rtol=1e-8, atol=1e-8)


def test_in_evaluation_mode_nothing_is_moved():
    batch, encoder = labelled(), ms.encoders.PaiNN(8, 1, 4).double()
    method = ms.methods.DeNS(8, molecule_ratio=1.0, atom_ratio=1.0).double().eval()
    losses = method(encoder, batch)
    predicted = method.regression.predict(encoder, batch)
    assert losses["denoising"] == 0
    assert_close(losses["forces"], (predicted.forces - batch.forces).norm(dim=1).mean())
    assert_close(losses["property"], (predicted.property[:, 0] - batch.energy).abs().mean())
    with torch.no_grad():
        assert_close(method(encoder, batch)["loss"], losses["loss"])


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("prediction", ["gradient", "vector"])
def test_batches_of_one_kind_train_every_weight(ratio, prediction):
    """DistributedDataParallel waits for all of them, and the release gets NaN, which it skips."""
    batch, encoder = labelled(), ms.encoders.PaiNN(8, 1, 4).double()
    method = ms.methods.DeNS(8, molecule_ratio=ratio, atom_ratio=ratio, prediction=prediction).double()
    losses = method(encoder, batch)
    losses["loss"].backward()
    assert losses["forces" if ratio else "denoising"] == 0
    named = [*encoder.named_parameters(), *method.named_parameters()]
    assert [name for name, weight in named if weight.requires_grad and weight.grad is None] == []
    assert all(weight.grad is None or weight.grad.isfinite().all() for _, weight in named)


def test_unknown_labels_are_left_out():
    batch, encoder = labelled(), ms.encoders.PaiNN(8, 1, 4).double()
    method = ms.methods.DeNS(8, molecule_ratio=0.0).double()
    expected = method(encoder, batch)
    of_atom = (method.regression.predict(encoder, batch).forces - batch.forces).norm(dim=1)
    batch.forces[0, 2], batch.energy[1] = torch.nan, torch.nan
    losses = method(encoder, batch)
    assert_close(losses["forces"], of_atom[1:].mean())
    assert losses["property"].isfinite()
    assert losses["property"] != expected["property"]


def test_the_release_encodes_forces_in_units_of_the_label():
    batch = labelled()
    noisy = ms.noise.DeNSNoise(molecule_ratio=1.0, atom_ratio=1.0)(batch)
    for as_released, unit in ((False, 10.0), (True, 1.0)):
        method = ms.methods.DeNS(8, label_std=10.0, as_released=as_released).double()
        context = method._context(noisy)
        assert_close(context.vectors, method.force_encoding(batch.forces / unit).vectors)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"label_std": 0.0}, "label_std must be positive"),
        ({"std": 0.0}, "std must be positive"),
        ({"molecule_ratio": 1.5}, "molecule_ratio must"),
        ({"l_max": 0}, "l_max must"),
        ({"weights": {"energy": 1.0}}, "weights must"),
    ],
)
def test_wrong_settings(arguments, error):
    with pytest.raises(ValueError, match=error):
        ms.methods.DeNS(8, **arguments)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("field", "value"), [("forces", torch.zeros(21)), ("forces", torch.zeros(4, 3)), ("fixed", torch.zeros(4))]
)
def test_fields_of_another_shape_are_refused(field, value):
    batch = labelled()
    batch.fixed = torch.zeros(21)
    batch[field] = value
    with pytest.raises(ValueError, match=rf"{field} must have shape \(21,.*got "):
        ms.methods.DeNS(8, fixed="fixed").double()(ms.encoders.PaiNN(8, 1, 4).double(), batch)


def test_structures_without_forces_are_refused():
    batch = labelled()
    del batch.forces
    with pytest.raises(ValueError, match=r"DeNSNoise needs.*forces"):
        ms.methods.DeNS(8).double()(ms.encoders.PaiNN(8, 1, 4).double(), batch)
