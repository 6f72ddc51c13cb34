"""Heads against the published implementations."""

import pytest
import torch
from safetensors.torch import load_file
from torch_geometric.data import Data

from molspectra.encoders import AtomFeatures
from molspectra.heads import DipoleHead, ScalarHead, SpatialExtentHead, VectorHead
from molspectra.pretrained.reference.keymaps import GATED_HEAD, rename
from tests.published import PublishedTransformer

pytestmark = pytest.mark.usefixtures("float32_weights")


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
        # The published head squeezes the vector of a lone atom to shape (3,).
        expected = heads[f"{name}.{batch}.pre_reduce"].reshape(-1, 3)
        torch.testing.assert_close(module(atoms), expected, rtol=1e-5, atol=1e-5)
    else:
        torch.testing.assert_close(
            module(atoms, Data(batch=molecule)), heads[f"{name}.{batch}.post_reduce"], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("variant", ["molspectra_default", "molspectra_md17"])
@pytest.mark.parametrize("reduce", ["add", "mean"])
def test_published_energies_forces_and_their_gradient(reference, variant, reduce):
    """Compare a loss of forces, which differentiates encoder and scalar head twice, on generic molecules."""
    published = PublishedTransformer(reference / "torchmd_et")
    expected = load_file(published.folder / "forces.safetensors")
    name = f"{variant}.{reduce}.noisy4"
    for dtype, tag, tolerance in ((torch.float64, "f64", 1e-9), (torch.float32, "f32", 1e-3)):
        encoder = published.encoder(variant, dtype)
        head = published.scalar_head("sum" if reduce == "add" else "mean", dtype)
        z, pos, batch = published.inputs("noisy4", dtype)
        energy = head(encoder(z, pos, batch), Data(batch=batch))
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
def test_published_heads_about_the_center_of_mass(load_fixture, head, name, keys, batch):
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
    torch.testing.assert_close(module(atoms, Data(z=z, pos=pos, batch=molecule)), expected, rtol=1e-5, atol=1e-5)
