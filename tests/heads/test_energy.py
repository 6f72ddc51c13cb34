"""Energies and their gradients, from encoders with vectors and without."""

from functools import partial

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.testing import (
    EDGE_MOLECULES,
    edge_molecule,
    random_molecules,
    random_orthogonal,
    without_shape_checks,
)


class Distances(torch.nn.Module):
    """Invariant encoder: functions of the distances to all other atoms of the molecule."""

    def __init__(self, channels=8):
        super().__init__()
        self.widths = torch.nn.Parameter(torch.linspace(0.1, 1, channels))
        self.shift = torch.nn.Parameter(torch.zeros(channels))

    def forward(self, z, pos, batch=None):
        batch = torch.zeros_like(z) if batch is None else batch
        square = (pos[:, None] - pos).square().sum(-1, keepdim=True)
        same = (batch[:, None] == batch).unsqueeze(-1)
        return AtomFeatures((torch.exp(-self.widths * square) * same * z.unsqueeze(-1)).sum(1) + self.shift)


def test_pooling_is_the_sum_over_atoms():
    pool, atoms = ms.heads.MoleculePooling(6), AtomFeatures(torch.randn(5, 6), torch.randn(5, 3, 6))
    batch = torch.tensor([0, 0, 1, 1, 1])
    lengths = (atoms.vectors.square().sum(1) + 1e-6).sqrt()
    of_atoms = pool.mlp(atoms.scalars + lengths)
    expected = torch.stack([of_atoms[:2].sum(0), of_atoms[2:].sum(0)])
    torch.testing.assert_close(pool(atoms, Data(batch=batch)), expected)
    torch.testing.assert_close(pool(atoms, Data(batch=batch, num_graphs=3))[2], torch.zeros(6))
    released = ms.heads.MoleculePooling(6, as_released=True)
    torch.testing.assert_close(released(atoms), released.mlp(atoms.scalars).sum(0, keepdim=True))


def test_the_gradient_head_is_minus_the_gradient():
    encoder, head = Distances().double(), ms.heads.GradientHead(channels=8).double()
    z, pos, batch = random_molecules(dtype=torch.float64)
    pos.requires_grad_()
    predicted = head(encoder(z, pos, batch), Data(pos=pos, batch=batch))
    step = 1e-5
    for atom, axis in ((0, 0), (7, 2), (13, 1)):
        moved = torch.zeros_like(pos)
        moved[atom, axis] = step
        energies = [head.energy(encoder(z, pos + sign * moved, batch), Data(batch=batch)).sum() for sign in (1, -1)]
        torch.testing.assert_close(
            predicted[atom, axis], -(energies[0] - energies[1]) / (2 * step), rtol=1e-6, atol=1e-8
        )


def test_the_gradient_head_is_equivariant_and_sums_to_zero():
    encoder, head = Distances().double(), ms.heads.GradientHead(channels=8).double()
    z, pos, batch = random_molecules(dtype=torch.float64)
    turn = random_orthogonal(torch.float64, -1)
    straight, turned = (
        head(encoder(z, each, batch), Data(pos=each, batch=batch))
        for each in (pos.requires_grad_(), (pos @ turn.T).detach().requires_grad_())
    )
    torch.testing.assert_close(turned, straight @ turn.T)
    torch.testing.assert_close(torch.stack([straight[batch == i].sum(0) for i in range(3)]), torch.zeros(3, 3).double())


def test_positions_without_a_gradient_are_refused():
    encoder, (z, pos, batch) = Distances(), random_molecules()
    head, refused = ms.heads.GradientHead(channels=8), "features computed from these.*requires_grad_"
    with pytest.raises(ValueError, match=refused):
        head(encoder(z, pos, batch), Data(pos=pos, batch=batch))
    atoms = encoder(z, pos, batch)
    with pytest.raises(ValueError, match=refused):  # too late
        head(atoms, Data(pos=pos.requires_grad_(), batch=batch))
    with torch.no_grad():
        atoms = encoder(z, pos, batch)
    with pytest.raises(ValueError, match=refused):
        head(atoms, Data(pos=pos, batch=batch))
    with torch.inference_mode(), pytest.raises(ValueError, match=r"inference_mode\(\) does not allow.*no_grad"):
        ms.methods.Coord(8, prediction="gradient")(encoder, Data(z=z, pos=pos, batch=batch))
    with pytest.raises(ValueError, match="energy=.* or channels="):
        ms.heads.GradientHead()


METHODS = {
    "Coord": lambda: ms.methods.Coord(8, prediction="gradient"),
    "Frad": lambda: ms.methods.Frad(8, prediction="gradient"),
    "SliDe": lambda: ms.methods.SliDe(8, prediction="gradient", coord_weight=1.0),
}


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_denoising_without_vectors(make):
    topology, constants = ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()
    molecules = [constants(topology(molecule)) for molecule in ms.data.MiniSpectra()[:4]]
    encoder, method = Distances(), make()
    losses = method(encoder, Batch.from_data_list(molecules))
    losses["loss"].backward()
    assert losses["loss"].isfinite()
    unused = [name for name, p in [*encoder.named_parameters(), *method.named_parameters()] if p.grad is None]
    assert unused == []


def test_evaluation_needs_no_gradients_enabled():
    encoder, method = Distances(), ms.methods.Coord(8, prediction="gradient").eval()
    with torch.no_grad():
        assert method(encoder, ms.data.MiniSpectra()[3])["loss"].isfinite()


@pytest.mark.parametrize("name", EDGE_MOLECULES)
@pytest.mark.usefixtures("float32_weights")
def test_edge_molecules(name):
    encoder = ms.encoders.EquivariantTransformer(8, num_layers=2, num_heads=2, num_rbf=8)
    method = ms.methods.Coord(8, prediction="gradient")
    z, pos = edge_molecule(name)
    method(encoder, Data(z=z, pos=pos))["loss"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in [*encoder.parameters(), *method.parameters()])


def test_an_unknown_prediction_and_missing_vectors_are_refused():
    with pytest.raises(ValueError, match='prediction must be "vector" or "gradient"'), without_shape_checks():
        ms.methods.Coord(8, prediction="forces")
    with pytest.raises(ValueError, match=r'needs atom vectors.*prediction="gradient"'):
        ms.methods.Coord(8)(Distances(), ms.data.MiniSpectra()[3])


@pytest.mark.usefixtures("float32_weights")
def test_energies_of_large_molecules_under_autocast():
    """Sum a thousand atoms: in bfloat16 the second digit would be wrong, and the result rounded to three digits."""
    head, draw = ms.heads.EnergyHead(8), partial(torch.randn, dtype=torch.float32)
    atoms = AtomFeatures(draw(1000, 8) + 1, draw(1000, 3, 8))
    exact = head(atoms)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        energy, pooled = head(atoms), head.pool(atoms)
    assert energy.dtype == pooled.dtype == torch.float32
    torch.testing.assert_close(energy, exact, rtol=5e-3, atol=0)
