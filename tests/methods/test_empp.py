"""EMPP against its parts."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.heads.position_distribution import PositionDistributionHead
from molspectra.heads.sphere import SphereGrid
from molspectra.methods.empp import EMPP
from molspectra.noise import EMPPMask, masked_pairs
from molspectra.objectives.position_distribution import PositionDistributionLoss
from molspectra.testing import EDGE_MOLECULES, edge_molecule, random_orthogonal
from tests.oracles.empp import ideal_distribution


@pytest.fixture
def batch():
    return Batch.from_data_list(list(ms.data.MiniSpectra("train")[60:66]))


VARIANTS = {
    "default": {},
    "three copies": {"num_copies": 3},
    "label": {"label": "gap", "label_mean": 8.0, "label_std": 2.0, "heavy_only": True},
    "pairs": {"reduce": "pair", "l_max": 1},
    "as released": {"as_released": True},
}
every_variant = pytest.mark.parametrize("arguments", VARIANTS.values(), ids=VARIANTS)


def spelled_out(encoder, empp, batch, masked_atom):
    """Compute the divergences of each pair, for one copy of one molecule after the other."""
    divergences = []
    for number, atom in enumerate(masked_atom.tolist()):
        molecule = batch.get_example(number % batch.num_graphs)
        atom -= int(batch.ptr[number % batch.num_graphs])
        rows = [row for row in range(len(molecule.z)) if row != atom]
        hidden = empp.condition.embedding(molecule.z[atom])
        if empp.label:
            label = (molecule[empp.label] - empp.label_mean) / empp.label_std
            centers = torch.linspace(-3, 3, 64, dtype=torch.float32)
            hidden = hidden + empp.condition.label_proj(torch.exp(-0.5 * ((label - centers) / (6 / 63)) ** 2))
        context = empp.condition.out_proj(nn.functional.silu(hidden)).expand(len(rows), -1)
        atoms = encoder(molecule.z[rows], molecule.pos[rows], context=context)
        displacement = molecule.pos[atom] - molecule.pos[rows]
        near = torch.tensor([index for index in range(len(rows)) if displacement[index].norm() < 5.0])
        parts = empp.objective.per_pair(empp.head(atoms.select(near)), displacement[near])
        divergences.append(parts[0] + parts[1])
    return divergences


@every_variant
def test_the_sum_of_its_parts_one_molecule_at_a_time(batch, arguments, make_encoder, generator):
    encoder, empp = make_encoder(), EMPP(16, **arguments)
    losses = empp(encoder, batch, generator(1))
    assert sorted(losses) == ["loss", "position"]
    masked_atom = EMPPMask(empp.num_copies, empp.noise.heavy_only).draw(batch, generator(1))
    each = spelled_out(encoder, empp, batch, masked_atom)
    expected = (
        torch.cat(each).mean() if empp.objective.reduce == "pair" else torch.stack([kl.mean() for kl in each]).mean()
    )
    torch.testing.assert_close(losses["loss"], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses["position"], losses["loss"])


def test_the_release_adds_copies_up(batch, make_encoder, generator):
    encoder, empp = make_encoder(), EMPP(16, num_copies=2, as_released=True)
    masked_atom = EMPPMask(2).draw(batch, generator(1))
    each = spelled_out(encoder, empp, batch, masked_atom)
    expected = torch.cat(each[:6]).mean() + torch.cat(each[6:]).mean()
    torch.testing.assert_close(empp(encoder, batch, generator(1))["loss"], expected, rtol=1e-4, atol=1e-5)


@every_variant
def test_every_parameter_gets_a_gradient(batch, arguments, make_encoder):
    encoder, empp = make_encoder(), EMPP(16, **arguments)
    empp(encoder, batch)["loss"].backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert [name for name, parameter in empp.named_parameters() if not parameter.grad.abs().max() > 0] == []


def test_parts_in_the_users_own_loop(batch, make_encoder, generator):
    encoder, empp = make_encoder(), EMPP(16)
    masked = EMPPMask()(batch, generator(1))
    pairs = masked_pairs(masked, cutoff=5.0)
    context = empp.condition(masked.masked_z)[masked.batch]
    atoms = encoder(masked.z, masked.pos, masked.batch, context=context)
    head = PositionDistributionHead(16)
    head.load_state_dict(empp.head.state_dict())
    loss = PositionDistributionLoss()(head(atoms.select(pairs.atom)), pairs.displacement, pairs.molecule)
    torch.testing.assert_close(empp(encoder, batch, generator(1))["loss"], loss)


@every_variant
def test_same_generator_same_loss_and_a_single_molecule(batch, arguments, make_encoder, generator):
    encoder, empp = make_encoder(), EMPP(16, **arguments)
    first, second, third = (empp(encoder, batch, generator(seed))["loss"] for seed in (1, 1, 2))
    assert first == second
    assert first != third
    assert empp(encoder, batch.get_example(0), generator(1))["loss"].isfinite()


def test_loss_does_not_depend_on_how_molecules_lie(batch, make_encoder, generator):
    encoder, empp = make_encoder(), EMPP(16)
    losses = []
    for _ in range(4):
        turned = batch.clone()
        turned.pos = batch.pos @ random_orthogonal(torch.float32).T
        losses.append(empp(encoder, turned, generator(1))["loss"])
    torch.testing.assert_close(torch.stack(losses), losses[0].expand(4), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", EDGE_MOLECULES)
@pytest.mark.parametrize("num_copies", [1, 2])
def test_edge_molecules(name, num_copies, make_encoder):
    """Check losses, gradients and predictions alone and beside an ordinary molecule."""
    z, pos = edge_molecule(name)
    edge = Data(z=z, pos=pos, y=torch.zeros(1))
    ordinary = Data(z=torch.tensor([8, 1, 1]), pos=torch.randn(3, 3, dtype=torch.float32), y=torch.ones(1))
    for molecules in ([edge], [edge, ordinary], [ordinary, edge]):
        encoder, empp = make_encoder(), EMPP(16, num_copies=num_copies, label="y")
        batch = Batch.from_data_list(molecules)
        loss = empp(encoder, batch)["loss"]
        loss.backward()
        assert loss.isfinite()
        for parameter in [*encoder.parameters(), *empp.parameters()]:
            assert parameter.grad is None or parameter.grad.isfinite().all()
        found = empp.predict_position(encoder, batch)
        lost = [name in ("lone atom", "apart") if molecule is edge else False for molecule in molecules]
        assert found.pos.isnan().all(dim=1).tolist() == lost
        assert found.error.isnan().tolist() == lost


@pytest.mark.parametrize("bonds", [False, True])
def test_where_every_molecule_is_a_lone_atom_every_weight_still_gets_a_gradient(bonds, make_encoder):
    """Expect gradients of 0, because other processes wait for the gradients of all weights."""
    fields = {"bond_index": torch.zeros(2, 0, dtype=torch.int64)} if bonds else {}
    lone = [Data(z=torch.tensor([n]), pos=torch.randn(1, 3, dtype=torch.float32), **fields) for n in (1, 8)]
    batch = Batch.from_data_list(lone)
    encoder, empp = ms.encoders.EGNN(16, 2, max_hops=2) if bonds else make_encoder(), EMPP(16)
    loss = empp(encoder, batch)["loss"]
    assert loss == 0
    loss.backward()
    for parameter in [*encoder.parameters(), *empp.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() == 0
    assert empp.predict_position(encoder, batch).error.isnan().all()
    assert empp.run(encoder, batch).atoms.pool(torch.zeros(0, dtype=torch.int64), num_molecules=2).shape == (2, 16)


def test_another_mask_may_take_the_place_of_the_first(batch, make_encoder, generator):
    encoder, one, three = make_encoder(), EMPP(16, as_released=True), EMPP(16, num_copies=3, as_released=True)
    three.load_state_dict(one.state_dict())
    one.noise = ms.noise.EMPPMask(num_masked=3)
    torch.testing.assert_close(one(encoder, batch, generator(1))["loss"], three(encoder, batch, generator(1))["loss"])
    assert one.predict_position(encoder, batch).pos.shape == (batch.num_graphs, 3)


def test_released_copies_are_added_up_where_they_have_pairs(make_encoder):
    """Take C-C with another C far away: of three copies, one has no pair."""
    pos = torch.tensor([[0, 0, 0], [1.5, 0, 0], [50, 0, 0]], dtype=torch.float32)
    far = Data(z=torch.tensor([6, 6, 6]), pos=pos)
    encoder, empp = make_encoder(), EMPP(16, num_copies=3, as_released=True)
    total = empp(encoder, far)["loss"]
    alone = EMPP(16, as_released=True)
    alone.load_state_dict(empp.state_dict())
    copies = []
    for atom in range(3):
        alone.noise.draw = lambda data, generator, atom=atom: torch.tensor([atom])
        copies.append(alone(encoder, far)["loss"])
    assert copies[2] == 0
    torch.testing.assert_close(total, sum(copies))


def test_labels_that_would_all_count_as_missing_are_pointed_out(batch, make_encoder):
    with pytest.warns(UserWarning, match="Most labels 'gap' are further than 3.3 standard deviations"):
        EMPP(16, label="gap")(make_encoder(), batch)


def test_positions_are_read_off_in_full_precision_under_autocast(batch, make_encoder, generator):
    encoder, empp = make_encoder(), EMPP(16)
    found = empp.predict_position(encoder, batch, generator=generator(1))
    anchor = found.masked.pos.index_select(0, found.pairs.atom)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = ms.methods.locate(found.distribution, anchor, found.pairs.molecule, batch.num_graphs)
    assert torch.equal(again, found.pos)


def test_beside_a_property_only_in_a_pass_of_its_own(batch, make_encoder):
    head = ms.heads.ScalarHead(16)
    with pytest.raises(ValueError, match="EMPP removes atoms.*separate=True"):
        ms.methods.NoisyNodes(EMPP(16), head, label="gap")
    losses = ms.methods.NoisyNodes(EMPP(16, num_copies=3), head, label="gap", separate=True)(make_encoder(), batch)
    losses["loss"].backward()
    assert losses["denoising"] > 0


def test_without_a_pair_the_loss_is_0_and_every_gradient_there(make_encoder):
    z, pos = edge_molecule("apart")
    encoder, empp = make_encoder(), EMPP(16)
    loss = empp(encoder, Data(z=z, pos=pos))["loss"]
    assert loss == 0
    loss.backward()
    assert all(parameter.grad is not None for parameter in [*encoder.parameters(), *empp.parameters()])


def test_denoising_of_molspectra_and_noisy_nodes(batch, make_encoder, generator):
    encoder = make_encoder()
    lengths = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}
    specformer = ms.spectra.SpecFormer(lengths, 100, 50, 16, 2, 4, 16)
    losses = ms.methods.MolSpectra(EMPP(16), specformer)(encoder, batch, generator(1))
    torch.testing.assert_close(losses["loss"], losses["denoising"] + losses["contrastive"] + losses["reconstruction"])
    auxiliary = ms.methods.NoisyNodes(
        EMPP(16, label="gap", label_mean=8.0, label_std=2.0), ms.heads.ScalarHead(16), label="gap", separate=True
    )
    losses = auxiliary(encoder, batch, generator(1))
    torch.testing.assert_close(losses["denoising"], auxiliary.task(encoder, batch, generator(1))["loss"])
    with pytest.raises(ValueError, match="one copy of each molecule.*num_copies=2"):
        ms.methods.MolSpectra(EMPP(16, num_copies=2), specformer)(encoder, batch)


def test_float64(batch, make_encoder, generator):
    encoder, empp = make_encoder().double(), EMPP(16, label="gap", label_mean=8.0, label_std=2.0).double()
    in_single = (encoder.float(), empp.float())
    single = empp(encoder, batch, generator(1))["loss"]
    encoder, empp = (module.double() for module in in_single)
    batch.pos, batch.gap = batch.pos.double(), batch.gap.double()
    loss = empp(encoder, batch, generator(1))["loss"]
    assert loss.dtype == torch.float64
    torch.testing.assert_close(loss, single.double(), rtol=1e-4, atol=1e-5)
    assert empp.predict_position(encoder, batch).pos.dtype == torch.float64


def test_autocast(batch, make_encoder, generator):
    encoder, empp = make_encoder(), EMPP(16, label="gap", label_mean=8.0, label_std=2.0)
    exact = empp(encoder, batch, generator(1))["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = empp(encoder, batch, generator(1))["loss"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.05, atol=0)


def test_comes_back_from_disk(batch, tmp_path, make_encoder, generator):
    encoder, empp = make_encoder(), EMPP(16, num_copies=2, label="gap", label_mean=8.0, label_std=2.0, l_max=1)
    ms.pretrained.save(empp, tmp_path)
    again = ms.pretrained.load(tmp_path)
    assert isinstance(again, EMPP)
    torch.testing.assert_close(*(each(encoder, batch, generator(1))["loss"] for each in (empp, again)))


class WithoutContext(nn.Module):
    def forward(self, z, pos, batch=None):
        return make_encoder()(z, pos, batch)


class WithoutVectors(nn.Module):
    def forward(self, z, pos, batch=None, *, context=None):
        return ms.encoders.AtomFeatures(context)


def test_bad_input(batch, make_encoder):
    with pytest.raises(ValueError, match="does not take `context`"):
        EMPP(16)(WithoutContext(), batch)
    with pytest.raises(ValueError, match="vectors"):
        EMPP(16)(WithoutVectors(), batch)
    with pytest.raises(ValueError, match=r"needs the fields \['nothing'\]"):
        EMPP(16, label="nothing")(make_encoder(), batch)
    with pytest.raises(ValueError, match=r"'ir' must be one number per molecule.*\(3501,\)"):
        EMPP(16, label="ir")(make_encoder(), batch)
    with pytest.raises(ValueError, match="label_mean and label_std > 0 must be finite"):
        EMPP(16, label="gap", label_std=0.0)
    with pytest.raises(ValueError, match="cutoff must be positive"):
        EMPP(16, cutoff=-1.0)
    with pytest.raises(ValueError, match="must be an atom of molecule 1; got row 0"):
        EMPP(16).predict_position(make_encoder(), batch, torch.zeros(6, dtype=torch.int64))


def test_predict_position_of_chosen_atoms(batch, make_encoder):
    class Oracle(nn.Module):
        """Stand-in for the head: the ideal distributions, in the order of the pairs."""

        def forward(self, atoms):
            return ideal_distribution(SphereGrid.gauss_legendre(16), pairs.displacement, 14.3, 0.5)

    encoder, empp = make_encoder(), EMPP(16, num_copies=3)
    chosen = batch.ptr[:-1] + torch.tensor([0, 1, 2, 0, 1, 2])
    pairs = masked_pairs(EMPPMask().mask(batch, chosen), 5.0)
    empp.head = Oracle()
    found = empp.predict_position(encoder, batch, chosen)
    assert torch.equal(found.masked.masked_atom, chosen)
    assert torch.equal(found.pairs.atom, pairs.atom)
    assert found.error.max() < 0.02
    torch.testing.assert_close(found.error, (found.pos - batch.pos[chosen]).norm(dim=1))


def test_predict_position_draws_one_atom_a_molecule(batch, make_encoder, generator):
    found = EMPP(16, num_copies=3).predict_position(make_encoder(), batch, generator=generator(1))
    assert found.pos.shape == (6, 3)
    assert torch.equal(found.masked.masked_atom, EMPPMask(3).draw(batch, generator(1))[:6])
    assert EMPP(16).predict_position(make_encoder(), batch.get_example(0)).pos.shape == (1, 3)


@pytest.mark.slow
def test_training_learns(batch, make_encoder, generator):
    """Lower the loss and find positions in a few dozen steps on six molecules."""
    encoder, empp = make_encoder(), EMPP(16)
    parameters = [*encoder.parameters(), *empp.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=5e-3)
    draws, history = generator(1), []
    for _ in range(150):
        loss = empp(encoder, batch, draws)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert sum(history[-20:]) < 0.5 * sum(history[:20])


@pytest.mark.cuda
def test_cuda(batch, make_encoder):
    encoder, empp = make_encoder().cuda(), EMPP(16, label="gap", label_mean=8.0, label_std=2.0).cuda()
    draws = torch.Generator("cuda").manual_seed(0)
    loss = empp(encoder, batch.to("cuda"), draws)["loss"]
    loss.backward()
    assert loss.is_cuda
    assert loss.isfinite()
    assert empp.predict_position(encoder, batch, generator=draws).error.isfinite().all()
