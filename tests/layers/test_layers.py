"""Radial basis, cutoff and gated block by themselves; together they are tested with the encoder."""

import math

import pytest
import torch
from safetensors.torch import load_file

from molspectra.encoders import AtomFeatures
from molspectra.heads import DipoleHead, ProjectionHead, ScalarHead, SpatialExtentHead, VectorHead
from molspectra.layers import BesselBasis, CosineCutoff, ExpNormalBasis, GatedEquivariantBlock
from molspectra.layers.gated import plain_norm, smooth_norm
from molspectra.pretrained.keymaps import GATED_HEAD, rename
from tests.published import PublishedTransformer


def test_cutoff_and_its_slope_vanish():
    distance = torch.tensor([0.0, 2.5, 5.0 - 1e-9, 5.0, 7.0], dtype=torch.float64, requires_grad=True)
    weight = CosineCutoff(5.0)(distance)
    torch.testing.assert_close(weight, torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0], dtype=torch.float64))
    (slope,) = torch.autograd.grad(weight.sum(), distance)
    torch.testing.assert_close(slope, torch.tensor([0, -math.pi / 10, 0, 0, 0], dtype=torch.float64))


def test_radial_basis_by_its_formula():
    basis = ExpNormalBasis(num_rbf=8, cutoff=4.0)
    for r in (0.0, 0.9, 3.7):
        for k in range(8):
            center = math.exp(-4) + k * (1 - math.exp(-4)) / 7
            beta = (2 / 8 * (1 - math.exp(-4))) ** -2
            expected = 0.5 * (math.cos(math.pi * r / 4) + 1) * math.exp(-beta * (math.exp(-1.25 * r) - center) ** 2)
            assert basis(torch.tensor([r]))[0, k].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("basis", [ExpNormalBasis, BesselBasis])
@pytest.mark.parametrize("cutoff", [0.0, math.inf, math.nan])
def test_a_basis_needs_a_cutoff(basis, cutoff):
    with pytest.raises(ValueError, match="cutoff must be positive and finite"):
        basis(8, cutoff)


def test_smooth_norm_has_finite_second_derivatives_at_zero_where_the_plain_one_jumps():
    zero = torch.zeros(1, 3, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: smooth_norm(v, eps=1e-2), zero)
    (slope,) = torch.autograd.grad(plain_norm(zero).sum(), zero, create_graph=True)
    assert slope.eq(0).all()


def test_gated_block_commutes_with_rotation():
    block = GatedEquivariantBlock(6, 4).double()
    scalars, vectors = torch.randn(5, 6, dtype=torch.float64), torch.randn(5, 3, 6, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    straight, turned = block(scalars, vectors), block(scalars, turn @ vectors)
    torch.testing.assert_close(turned[0], straight[0])
    torch.testing.assert_close(turned[1], turn @ straight[1])


@pytest.mark.parametrize("batch", ["noisy4", "clean4", "linear", "linear_axis", "lone", "mixed6"])
@pytest.mark.parametrize(("head", "name"), [(ScalarHead, "EquivariantScalar"), (VectorHead, "EquivariantVectorOutput")])
def test_published_heads(load_fixture, head, name, batch):
    heads = load_fixture("torchmd_et/heads.safetensors")
    features = load_fixture("torchmd_et/molspectra_default.outputs.safetensors")
    molecule = load_fixture("torchmd_et/batches.safetensors")[f"{batch}.batch"]
    atoms = AtomFeatures(features[f"{batch}.f32.x"], features[f"{batch}.f32.vec"])
    weights = {
        key.removeprefix(f"{name}.weights."): value
        for key, value in heads.items()
        if key.startswith(f"{name}.weights.")
    }
    module = head(atoms.scalars.shape[1], as_released=True)
    module.load_state_dict(rename(weights, GATED_HEAD))
    if head is VectorHead:
        # The published head squeezes a lone atom's vector to shape (3,).
        expected = heads[f"{name}.{batch}.pre_reduce"].reshape(-1, 3)
        torch.testing.assert_close(module(atoms), expected, rtol=1e-5, atol=1e-5)
    else:
        torch.testing.assert_close(
            module(atoms, batch=molecule), heads[f"{name}.{batch}.post_reduce"], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("variant", ["molspectra_default", "molspectra_md17"])
@pytest.mark.parametrize("reduce", ["add", "mean"])
def test_published_energies_forces_and_their_gradient(reference, variant, reduce):
    """Encoder, scalar head and a loss on forces, which differentiates twice, on generic molecules."""
    published = PublishedTransformer(reference / "fixtures" / "torchmd_et")
    expected = load_file(published.folder / "forces.safetensors")
    name = f"{variant}.{reduce}.noisy4"
    for dtype, tag, tolerance in ((torch.float64, "f64", 1e-9), (torch.float32, "f32", 1e-3)):
        encoder = published.encoder(variant, dtype)
        head = published.scalar_head("sum" if reduce == "add" else "mean", dtype)
        z, pos, batch = published.inputs("noisy4", dtype)
        energy = head(encoder(z, pos, batch), batch=batch)
        (grad,) = torch.autograd.grad(energy.sum(), pos, create_graph=True)
        for actual, target in ((energy, expected[f"{name}.{tag}.energy"]), (-grad, expected[f"{name}.{tag}.forces"])):
            assert (actual - target).abs().max() <= tolerance * target.abs().max()
    (-grad - 0.1).square().mean().backward()
    key = f"{name}.grad_force_mse.attention_layers.0.q_proj.weight"
    if key in expected:
        error = (encoder.layers[0].q_proj.weight.grad - expected[key]).abs().max()
        assert error <= 5e-3 * expected[key].abs().max()


@pytest.mark.parametrize("batch", ["noisy4", "clean4", "linear", "linear_axis", "lone", "mixed6"])
@pytest.mark.parametrize(
    ("head", "name", "keys"),
    [
        (DipoleHead, "EquivariantDipoleMoment", GATED_HEAD),
        (SpatialExtentHead, "EquivariantElectronicSpatialExtent", [(r"^output_network\.", "mlp.")]),
    ],
    ids=["dipole", "extent"],
)
def test_published_heads_about_the_centre_of_mass(load_fixture, head, name, keys, batch):
    heads = load_fixture("torchmd_et/heads.safetensors")
    features = load_fixture("torchmd_et/molspectra_default.outputs.safetensors")
    molecules = load_fixture("torchmd_et/batches.safetensors")
    z, pos, molecule = (molecules[f"{batch}.{field}"] for field in ("z", "pos", "batch"))
    prefix = f"{name}.weights."
    weights = {key.removeprefix(prefix): value for key, value in heads.items() if key.startswith(prefix)}
    module = head(features[f"{batch}.f32.x"].shape[1], as_released=True)
    module.load_state_dict(rename(weights, keys))
    atoms = AtomFeatures(features[f"{batch}.f32.x"], features[f"{batch}.f32.vec"])
    expected = heads[f"{name}.{batch}.post_reduce"]
    torch.testing.assert_close(module(atoms, z=z, pos=pos, batch=molecule), expected, rtol=1e-5, atol=1e-5)


def test_heads_refuse_an_encoder_without_vectors():
    with pytest.raises(ValueError, match="needs atom vectors"):
        VectorHead(8)(AtomFeatures(torch.randn(3, 8)))


def test_pooling():
    atoms = AtomFeatures(torch.arange(6.0).reshape(3, 2))
    batch = torch.tensor([0, 0, 2])
    torch.testing.assert_close(atoms.pool(batch), torch.tensor([[2.0, 4.0], [0, 0], [4.0, 5.0]]))
    torch.testing.assert_close(atoms.pool(batch, "mean", 4), torch.tensor([[1.0, 2.0], [0, 0], [4.0, 5.0], [0, 0]]))
    torch.testing.assert_close(atoms.pool(None, "mean"), torch.tensor([[2.0, 3.0]]))


@pytest.mark.usefixtures("no_shape_checks")
def test_pooling_by_something_else_is_refused():
    with pytest.raises(ValueError, match='reduce must be "sum" or "mean"'):
        AtomFeatures(torch.zeros(1, 1)).pool(None, "max")


def test_projection_head():
    assert ProjectionHead(6, 3)(torch.randn(2, 6)).shape == (2, 3)
