"""Methods against their parts, on real molecules and edge molecules."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose

import molspectra as ms
from molspectra.testing import EDGE_MOLECULES, edge_molecule
from tests.oracles.molspectra import explicit_losses

PREPARE = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])
RELEASED = Compose([ms.data.transforms.AddTopology(as_released=True), ms.data.transforms.ForceConstants.generic()])
LENGTHS = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}


def make_specformer(out_channels=16, **arguments):
    return ms.spectra.SpecFormer(LENGTHS, 100, 50, 16, 2, 4, out_channels, **arguments)


def make_method(**arguments):
    return ms.methods.MolSpectra(ms.methods.Coord(16), make_specformer(), **arguments)


@pytest.fixture
def batch():
    return Batch.from_data_list(list(ms.data.MiniSpectra("train", pre_transform=PREPARE)[:6]))


METHODS = {
    "Coord": lambda: ms.methods.Coord(16),
    "Frad": lambda: ms.methods.Frad(16),
    "Frad, vibration": lambda: ms.methods.Frad(16, mode="vibration"),
    "SliDe": lambda: ms.methods.SliDe(16),
    "SliDe, sliced and regularized": lambda: ms.methods.SliDe(16, target="sliced", num_slices=4, coord_weight=1.0),
    "MolSpectra": make_method,
    "MolSpectra on Frad": lambda: ms.methods.MolSpectra(ms.methods.Frad(16), make_specformer()),
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)


def test_coord_is_the_sum_of_its_parts(batch, generator, make_encoder):
    encoder, coord = make_encoder(), ms.methods.Coord(16, std=0.1)
    noisy = ms.noise.CoordNoise(0.1)(batch, generator(1))
    predicted = coord.head(encoder(noisy.z, noisy.pos, noisy.batch))
    expected = (predicted - noisy.pos_target / noisy.pos_target.square().mean().sqrt()).square().mean()
    losses = coord(encoder, batch, generator(1))
    assert sorted(losses) == ["denoising", "loss"]
    torch.testing.assert_close(losses["loss"], expected)


def test_molspectra_is_the_sum_of_its_parts(batch, generator, make_encoder):
    encoder, method = (
        make_encoder(),
        make_method(mask_ratio=0.2, weights={"denoising": 1, "contrastive": 2, "reconstruction": 3}),
    )
    draws = generator(1)
    noisy = method.task.noise(batch, draws)
    atoms = encoder(noisy.z, noisy.pos, noisy.batch)
    target = noisy.pos_target / noisy.pos_target.square().mean().sqrt()
    denoising = (method.task.head(atoms) - target).square().mean()
    spectra = {kind: batch[kind] for kind in LENGTHS}
    masked = ms.spectra.PatchMask(method.specformer.patchers, 0.2)(spectra, draws)
    state = {name: tensor.clone() for name, tensor in method.specformer.state_dict().items()}
    features = method.specformer(spectra, masked)
    method.specformer.load_state_dict(state)
    molecules = torch.stack([atoms.scalars[batch.batch == i].sum(0) for i in range(6)])
    contrastive = ms.objectives.InfoNCELoss()(molecules, features.embedding)
    reconstruction = 0.0
    for kind, tokens in method.specformer.split(features.tokens).items():
        patches = torch.log10(1 + spectra[kind]).unfold(1, 100, 50)
        hidden = masked[kind].unfold(1, 100, 50)
        reconstruction += (method.reconstruct.projections[kind](tokens) - patches)[hidden].square().mean()

    losses = method(encoder, batch, generator(1))
    expected = {"denoising": denoising, "contrastive": contrastive, "reconstruction": reconstruction}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses["loss"], denoising + 2 * contrastive + 3 * reconstruction)


def test_molspectra_equals_its_equations_written_out(generator, make_encoder):
    """Compare a training step with the explicit one: encoders, masks, losses and all derivatives."""
    molecules = Batch.from_data_list(list(ms.data.MiniSpectra("train")[40:44]))
    for name in ("pos", *ms.data.MiniSpectra.axes):
        molecules[name] = molecules[name].double()
    encoder, method = make_encoder().double(), make_method().double()
    encoder.out_vector_norm = nn.Identity()  # the derivative of the SVD in the explicit norm is not always finite
    parameters = [*encoder.parameters(), *method.parameters()]
    results = []
    for losses in (
        method(encoder, molecules, generator(1)),
        explicit_losses(encoder, method, molecules, generator(1)),
    ):
        results.append((losses, torch.autograd.grad(losses["loss"], parameters, materialize_grads=True)))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-10)


@every_method
def test_every_parameter_gets_a_gradient(batch, make, make_encoder):
    encoder, method = make_encoder(), make()
    method(encoder, batch)["loss"].backward()
    unused = [name for name, p in [*encoder.named_parameters(), *method.named_parameters()] if p.grad is None]
    # A head reads one vector: the outgoing scalar of the last block (half of its gate network) is not read, but shares
    # its weight tensor with the gate, so it is not listed here.
    assert unused == []


@every_method
def test_same_generator_same_losses_and_a_single_molecule(batch, make, generator, make_encoder):
    encoder, method = make_encoder(), make()
    first, second = (method(encoder, batch, generator(1)) for _ in range(2))
    for name in set(first) - {"loss", "denoising"}:  # the running statistics of the target have changed
        torch.testing.assert_close(first[name], second[name], rtol=1e-6, atol=1e-6)
    assert method(encoder, batch.get_example(0), generator(1))["loss"].isfinite()


@pytest.mark.parametrize("name", EDGE_MOLECULES)
def test_edge_molecules(name, make_encoder):
    """Check losses and gradients alone and beside an ordinary molecule, with one spectrum of three."""
    z, pos = edge_molecule(name)
    edge = Data(
        z=z,
        pos=pos,
        **{kind: torch.full((1, length), torch.nan, dtype=torch.float32) for kind, length in LENGTHS.items()},
    )
    edge.ir = torch.rand(1, LENGTHS["ir"], dtype=torch.float32)
    ordinary = ms.data.MiniSpectra("train")[3]
    ordinary = Data(**{key: ordinary[key] for key in ("z", "pos", *LENGTHS)})
    for molecules in ([edge], [edge, ordinary]):
        encoder, method = make_encoder(), make_method()
        losses = method(encoder, Batch.from_data_list(molecules))
        losses["loss"].backward()
        assert all(loss.isfinite() for loss in losses.values())
        for parameter in [*encoder.parameters(), *method.parameters()]:
            assert parameter.grad is None or parameter.grad.isfinite().all()


def test_molecules_without_spectra_take_part_in_the_denoising_only(batch, generator, make_encoder):
    encoder, method = make_encoder(), make_method(weights={"denoising": 0.0, "contrastive": 1.0, "reconstruction": 1.0})
    for kind in LENGTHS:
        batch[kind][2] = torch.nan
    pos = batch.pos.requires_grad_()
    method(encoder, batch, generator(1))["loss"].backward()
    assert pos.grad[batch.batch != 2].abs().sum(1).min() > 0
    assert pos.grad[batch.batch == 2].abs().max() == 0


def test_a_kind_may_be_absent_from_the_batch(batch, make_encoder):
    encoder, method = make_encoder(), make_method()
    del batch.raman
    losses = method(encoder, batch)
    losses["loss"].backward()
    assert losses["loss"].isfinite()
    # Zero instead of None: a parameter without a gradient would stop DistributedDataParallel.
    assert (method.reconstruct.projections["raman"].weight.grad == 0).all()


def test_no_spectra_at_all_is_refused(batch, make_encoder):
    for kind in LENGTHS:
        del batch[kind]
    with pytest.raises(ValueError, match=r"none of the spectra \['uv_vis', 'ir', 'raman'\], only \[.*'pos'"):
        make_method()(make_encoder(), batch)


@pytest.mark.usefixtures("no_shape_checks")
def test_encoders_of_different_width_need_a_projection(batch, make_encoder):
    specformer = make_specformer(out_channels=24)
    with pytest.raises(ValueError, match=r"one shape \(B, F\); got \(6, 16\) and \(6, 24\).*ProjectionMLP"):
        ms.methods.MolSpectra(ms.methods.Coord(16), specformer)(make_encoder(), batch)
    projection = ms.layers.ProjectionMLP(16, 24)
    method = ms.methods.MolSpectra(ms.methods.Coord(16), specformer, molecule_projection=projection)
    assert method(make_encoder(), batch)["loss"].isfinite()


def test_as_released_means_patch_masks_and_one_direction():
    method = make_method(as_released=True)
    assert method.mask.mode == "patch"
    assert not method.contrast.symmetric
    assert make_method().mask.mode == "interval"
    assert make_method(as_released=True, mask_mode="interval").mask.mode == "interval"


class TwoLinesOfYours(nn.Module):
    """Encoder of a user: any callable with this signature."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(119, 16)

    def forward(self, z, pos, batch=None):
        scalars = self.embedding(z)
        return ms.encoders.AtomFeatures(scalars, pos.unsqueeze(2) * scalars.unsqueeze(1))


def test_a_data_with_a_batch_field_is_a_batch_too(batch, make_encoder):
    data = Data(**{key: batch[key] for key in ("z", "pos", *LENGTHS)})
    data.batch = batch.batch
    assert make_method()(make_encoder(), data)["loss"].isfinite()
    ms.noise.CoordNoise(remove_translation=True)(data)
    for key in ("bond_index", "angle_index", "torsion_index", "rotatable_index", "parent_index", "bridge"):
        data[key] = batch[key]
    for key in ("bond_k", "angle_k", "torsion_k"):
        data[key] = batch[key]
    assert ms.methods.Frad(16)(make_encoder(), data)["loss"].isfinite()
    assert ms.methods.SliDe(16)(make_encoder(), data)["loss"].isfinite()
    assert ms.noise.SliDeNoise().energy(data, data.pos + 0.1).shape == (6,)


def test_your_own_encoder(batch):
    assert make_method()(TwoLinesOfYours(), batch)["loss"].isfinite()


@pytest.mark.slow
def test_training_learns(batch, make_encoder):
    """Lower every part of the loss in a few dozen steps on six molecules."""
    encoder, method = make_encoder(), make_method()
    optimizer = torch.optim.Adam([*encoder.parameters(), *method.parameters()], lr=3e-3)
    history = []
    for _ in range(60):
        losses = method(encoder, batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    for name in history[0]:
        first, last = (sum(step[name] for step in part) / 10 for part in (history[:10], history[-10:]))
        assert last < 0.9 * first, name


@pytest.mark.cuda
def test_cuda(batch, make_encoder):
    encoder, method = make_encoder().cuda(), make_method().cuda()
    draws = torch.Generator("cuda").manual_seed(0)
    losses = method(encoder, batch.to("cuda"), draws)
    losses["loss"].backward()
    assert losses["loss"].is_cuda
    assert losses["loss"].isfinite()


def test_frad_and_slide_are_the_sum_of_their_parts(batch, generator, make_encoder):
    encoder, frad, slide = (
        make_encoder(),
        ms.methods.Frad(16, 0.1),
        ms.methods.SliDe(16, coord_weight=0.5, coord_std=0.02),
    )
    noisy = ms.noise.FradNoise(0.1)(batch, generator(1))
    target = noisy.pos_target / noisy.pos_target.square().mean().sqrt()
    expected = (frad.head(encoder(noisy.z, noisy.pos, noisy.batch)) - target).square().mean()
    torch.testing.assert_close(frad(encoder, batch, generator(1))["loss"], expected)

    draws = generator(1)
    noisy = ms.noise.SliDeNoise()(batch, draws)
    target = noisy.gradient_target / noisy.gradient_target.square().mean().sqrt()
    expected = (slide.head(encoder(noisy.z, noisy.pos, noisy.batch)) - target).square().mean()
    noisier = ms.noise.CoordNoise(0.02)(noisy, draws)
    target = noisier.pos_target / noisier.pos_target.square().mean().sqrt()
    around = (slide.coord_head(encoder(noisier.z, noisier.pos, noisier.batch)) - target).square().mean()
    losses = slide(encoder, batch, generator(1))
    assert sorted(losses) == ["denoising", "loss"]
    torch.testing.assert_close(losses["loss"], expected + 0.5 * around)


EDGE_SMILES = {
    "alkyne": "CC#CC",
    "nitrile": "CC#N",
    "carbon dioxide": "O=C=O",
    "hydrogen": "[H][H]",
    "lone ion": "[Na+]",
    "salt": "[Na+].CC(=O)[O-]",
    "spiro": "C1CC12CC2",
    "fused": "c1ccc2[nH]ccc2c1",
    "bridged": "C1CC2CC1CC2",
    "three-ring": "CC1CO1",
    "azide": "CN=[N+]=[N-]",
    "allene": "C=C=C",
    "cumulated": "N#CC#N",
}


@pytest.mark.parametrize("as_released", [False, True], ids=["", "as released"])
@pytest.mark.parametrize("smiles", EDGE_SMILES.values(), ids=EDGE_SMILES)
def test_edge_molecules_with_chemical_noise(smiles, as_released, generator, make_encoder):
    """Check losses and gradients alone and beside an ordinary molecule."""
    prepare = RELEASED if as_released else PREPARE
    edge, ordinary = (prepare(ms.data.from_smiles(each)) for each in (smiles, "CCO"))
    methods = [
        ms.methods.Frad(16, as_released=as_released),
        ms.methods.Frad(16, mode="vibration", as_released=as_released),
        ms.methods.SliDe(16, num_slices=16, as_released=as_released),
        ms.methods.SliDe(16, num_slices=16, target="sliced", coord_weight=1.0, as_released=as_released),
    ]
    for molecules in ([edge], [edge, ordinary]):
        for method in methods:
            encoder = make_encoder()
            losses = method(encoder, Batch.from_data_list(molecules), generator(1))
            losses["loss"].backward()
            assert losses["loss"].isfinite()
            for parameter in [*encoder.parameters(), *method.parameters()]:
                assert parameter.grad is None or parameter.grad.isfinite().all()


def test_methods_come_back_from_disk(batch, tmp_path, generator, make_encoder):
    from_parts = ms.methods.Denoising(ms.noise.FradNoise(0.1), ms.heads.VectorHead(16), ms.objectives.DenoisingLoss())
    methods = [
        ms.methods.Frad(16, mode="vibration"),
        ms.methods.SliDe(16, coord_weight=1.0),
        from_parts,
        ms.methods.MolSpectra(from_parts, make_specformer()),
        ms.methods.NoisyNodes(ms.methods.Frad(16), ms.heads.ScalarHead(16), label="gap", loss="l1"),
    ]
    for number, method in enumerate(methods):
        encoder = make_encoder()
        method(encoder, batch)
        ms.pretrained.save(method, tmp_path / str(number))
        again = ms.pretrained.load(tmp_path / str(number))
        losses = [each.eval()(encoder, batch, generator(1))["loss"] for each in (method, again)]
        torch.testing.assert_close(*losses)


@pytest.mark.usefixtures("no_shape_checks")
def test_bad_arguments(batch, make_encoder):
    method = ms.methods.Denoising(ms.noise.SliDeNoise(), ms.heads.VectorHead(16), ms.objectives.SliDeLoss())
    with pytest.raises(ValueError, match=r"noise must add pos_target \(N, 3\); SliDeNoise.*override run"):
        method(make_encoder(), batch)
    with pytest.raises(ValueError, match="coord_weight must not be negative"):
        ms.methods.SliDe(16, coord_weight=-1.0)
    with pytest.raises(TypeError, match="specformer must be a SpecFormer.*; got CNNAM. For a contrast alone"):
        ms.methods.MolSpectra(ms.methods.Coord(16), ms.spectra.CNNAM(LENGTHS))


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["Frad", "Frad, vibration", "SliDe", "SliDe, sliced and regularized"])
def test_cuda_of_chemical_noise(batch, name, make_encoder):
    encoder, method = make_encoder().cuda(), METHODS[name]().cuda()
    losses = method(encoder, batch.to("cuda"), torch.Generator("cuda").manual_seed(0))
    losses["loss"].backward()
    assert losses["loss"].isfinite()
