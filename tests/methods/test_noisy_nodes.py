"""Noisy Nodes in one pass and in two, against their parts."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch_geometric.data import Batch, Data

import molspectra as ms


@pytest.fixture
def batch():
    topology = ms.data.transforms.AddTopology()
    batch = Batch.from_data_list([topology(molecule) for molecule in ms.data.MiniSpectra("train")[:5]])
    batch.forces = torch.randn_like(batch.pos)
    return batch


def test_one_pass(batch, generator, make_encoder):
    encoder, denoise, head = make_encoder(), ms.methods.Coord(16, std=0.005), ms.heads.ScalarHead(16, reduce="mean")
    finetune = ms.methods.NoisyNodes(denoise, head, label="gap")
    noisy = ms.noise.CoordNoise(0.005)(batch, generator(1))
    atoms = encoder(noisy.z, noisy.pos, noisy.batch)
    target = noisy.pos_target / noisy.pos_target.square().mean().sqrt()
    denoising = (denoise.head(atoms) - target).square().mean()
    of_property = (head(atoms, batch).flatten() - batch.gap).square().mean()
    losses = finetune(encoder, batch, generator(1))
    torch.testing.assert_close(losses["property"], of_property)
    torch.testing.assert_close(losses["denoising"], denoising)
    torch.testing.assert_close(losses["loss"], of_property + 0.1 * denoising)


def test_two_passes_with_forces(batch, generator, make_encoder):
    """Take energy and forces of unperturbed molecules, and denoise around them."""
    encoder, head = make_encoder(), ms.heads.ScalarHead(16)
    denoise = ms.methods.Frad(16, std=0.005, rotatable_std=math.radians(20))
    finetune = ms.methods.NoisyNodes(denoise, head, label="gap", forces="forces", separate=True, loss="smooth_l1")
    pos = batch.pos.clone().requires_grad_()
    energy = head(encoder(batch.z, pos, batch.batch), batch)
    (gradient,) = torch.autograd.grad(energy.sum(), pos, create_graph=True)
    expected = {
        "property": F.smooth_l1_loss(energy.flatten(), batch.gap),
        "forces": F.smooth_l1_loss(-gradient, batch.forces),
        "denoising": ms.methods.Frad.forward(denoise, encoder, batch, generator(1))["loss"],
    }
    denoise.objective.normalizer.count.zero_()  # start the running statistics of the target afresh
    denoise.objective.normalizer.mean.zero_()
    denoise.objective.normalizer.squared_deviations.zero_()
    losses = finetune(encoder, batch, generator(1))
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
    total = 0.2 * expected["property"] + 0.8 * expected["forces"] + 0.1 * expected["denoising"]
    torch.testing.assert_close(losses["loss"], total)
    losses["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


class Extent(torch.nn.Module):
    """Property head that reads positions."""

    def forward(self, atoms, data):
        square = data.pos.square().sum(dim=1)
        return square.new_zeros(data.num_graphs).index_add(0, data.batch, square).unsqueeze(1)


def test_heads_that_read_positions_see_the_perturbed_ones(batch, generator, make_encoder):
    finetune = ms.methods.NoisyNodes(ms.methods.Coord(16, std=0.3), Extent(), label="gap")
    pos = ms.noise.CoordNoise(0.3)(batch, generator(1)).pos
    extent = torch.stack([pos[batch.batch == number].square().sum() for number in range(5)])
    expected = (extent - batch.gap).square().mean()
    torch.testing.assert_close(finetune(make_encoder(), batch, generator(1))["property"], expected)


@pytest.mark.parametrize("separate", [False, True])
def test_in_evaluation_nothing_is_perturbed(batch, separate, make_encoder):
    encoder, head = make_encoder(), ms.heads.ScalarHead(16)
    finetune = ms.methods.NoisyNodes(ms.methods.Coord(16), head, label="gap", separate=separate).eval()
    losses = finetune(encoder, batch)
    clean = head(encoder(batch.z, batch.pos, batch.batch), batch).flatten()
    torch.testing.assert_close(losses["property"], (clean - batch.gap).square().mean())
    assert losses["denoising"] == 0
    torch.testing.assert_close(losses["loss"], losses["property"])


def test_forces_in_evaluation_without_gradients(batch, make_encoder):
    finetune = ms.methods.NoisyNodes(
        ms.methods.Coord(16), ms.heads.ScalarHead(16), label="gap", forces="forces", separate=True
    ).eval()
    with torch.no_grad():
        losses = finetune(make_encoder(), batch)
    assert losses["forces"].isfinite()


def test_bad_input(batch, make_encoder):
    head, coord = ms.heads.ScalarHead(16), ms.methods.Coord(16)
    with pytest.raises(ValueError, match="forces='forces' needs separate=True"):
        ms.methods.NoisyNodes(coord, head, forces="forces")
    with pytest.raises(ValueError, match=r"must have the field 'y' of shape \(5, 1\); got none.*label="):
        ms.methods.NoisyNodes(coord, head)(make_encoder(), batch)
    molecule = Data(z=torch.tensor([1, 1]), pos=torch.rand(2, 3, dtype=torch.float32))
    with pytest.raises(ValueError, match=r"must have the field 'z' of shape \(1, 1\); got \(2,\)"):
        ms.methods.NoisyNodes(coord, head, label="z")(make_encoder(), molecule)
