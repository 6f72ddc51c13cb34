"""Features of DimeNet++: the shipped suite, parity with PyG's model, and short distances."""

import inspect

import pytest
import torch
from torch_geometric.nn.models import DimeNetPlusPlus
from torch_geometric.utils import scatter

from molspectra.encoders import PyGEncoder
from molspectra.geometry import radius_graph
from molspectra.geometry.edge_pairs import edge_pairs
from molspectra.testing import EncoderSuite, random_molecules
from tests.encoders.adapters.models import as_trained, dimenet, explicit_graph


class TestDimeNetPlusPlus(EncoderSuite):
    can_be_saved = False

    def make_encoder(self):
        return PyGEncoder(as_trained(dimenet()))


def explicit_triplets(edge_index):
    """(k → j, j → i) with k ≠ i, by a double loop over edges."""
    edges = edge_index.t().tolist()
    pairs = [
        (inner, outer)
        for outer, (j, i) in enumerate(edges)
        for inner, (k, end) in enumerate(edges)
        if end == j and k != i
    ]
    return torch.tensor(pairs).reshape(-1, 2).t()


@pytest.mark.parametrize("sizes", [(5, 1, 8), (1,), (2, 1)])
def test_pairs_of_edges(sizes):
    _, pos, batch = random_molecules(sizes)
    edge_index = radius_graph(pos, batch, 2.5)
    pairs = edge_pairs(edge_index, pos)
    assert sorted(pairs.t().tolist()) == sorted(explicit_triplets(edge_index).t().tolist())


def test_dimenet_with_its_last_layers_is_dimenet(monkeypatch):
    """Against PyG's own forward, given the edges and triplets that it needs compiled packages for."""
    z, pos, batch = random_molecules((7, 5, 1, 2), torch.float64)
    pos = (1.5 * pos).requires_grad_()
    model = as_trained(dimenet(output_initializer="glorot_orthogonal", cutoff=4.0)).double()
    for block in model.output_blocks[1:]:  # with one last layer in common it acts on the sum of the atom embeddings
        block.lin = model.output_blocks[0].lin
    adapter = PyGEncoder(model)

    def triplets(edge_index, num_nodes):
        kj, ji = explicit_triplets(edge_index)
        source, target = edge_index
        return target, source, target[ji], source[ji], source[kj], kj, ji

    own = inspect.getmodule(DimeNetPlusPlus)
    monkeypatch.setattr(own, "radius_graph", lambda pos, r, batch, max_num_neighbors: explicit_graph(r)(pos, batch)[0])
    monkeypatch.setattr(own, "triplets", triplets)
    expected = model(z, pos, batch)
    actual = scatter(model.output_blocks[0].lin(adapter(z, pos, batch).scalars), batch, dim=0)
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-8)
    gradients = [torch.autograd.grad(energies.sum(), pos)[0] for energies in (actual, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("float32_weights")
def test_dimenets_bases_keep_their_digits_in_single_precision():
    """At the published highest degree: PyG's own loses many of them to cancellation."""
    model = dimenet(num_spherical=7, num_radial=1)
    basis = model.sbf
    distance = torch.linspace(0.8, 4.9, 50, dtype=torch.float32)
    angle = torch.linspace(0.1, 3.0, 50, dtype=torch.float32)
    edges = torch.arange(50)
    exact = basis(distance.double(), angle.double(), edges)
    ours = PyGEncoder(model).features.spherical_basis(distance, angle.cos(), edges)
    scale = exact.abs().amax(dim=0)
    error, error_of_pyg = (((b - exact).abs() / scale).max() for b in (ours, basis(distance, angle, edges)))
    assert error < 1e-6
    assert error_of_pyg > 10 * error


def test_second_derivatives_of_dimenet_on_a_line():
    """Against finite differences exactly where the angle has none: a linear molecule."""
    z, pos = torch.tensor([8, 6, 8]), torch.tensor([[0.0, 0, 1.2], [0, 0, 0], [0, 0, -1.2]], dtype=torch.float64)
    encoder = PyGEncoder(dimenet()).double()
    weights = torch.randn(16, dtype=torch.float64)
    energy = lambda pos: (encoder(z, pos).scalars @ weights).sum()  # noqa: E731
    assert torch.autograd.gradcheck(energy, pos.requires_grad_())
    assert torch.autograd.gradgradcheck(energy, pos)


def test_dimenet_tells_a_bond_from_what_is_too_close():
    """H-H bonds are pulled at; atoms in each other are no further in than those 0.7 Å apart."""
    encoder = PyGEncoder(as_trained(dimenet()))
    z, axis = torch.tensor([1, 1]), torch.tensor([[0.0, 0, 0], [0, 0, 1]])

    def derivative(distance):
        distance = torch.tensor(distance, requires_grad=True)
        return torch.autograd.grad(encoder(z, distance * axis).scalars.sum(), distance)[0]

    assert derivative(0.74) != 0
    for distance in (0.0, 1e-3, 0.3, 0.69):
        assert derivative(distance) == 0
        torch.testing.assert_close(encoder(z, distance * axis).scalars, encoder(z, 0.7 * axis).scalars)


@pytest.mark.usefixtures("float32_weights")
def test_dimenet_bears_strong_noise():
    """Its features stay within two orders of the size that they have for molecules, where they grew by four."""
    encoder = PyGEncoder(dimenet(num_spherical=7, num_radial=6))
    z, pos, batch = random_molecules((15,) * 8)
    size = encoder(z, pos, batch).scalars.abs().max()
    for _ in range(5):
        assert encoder(z, pos + torch.randn_like(pos), batch).scalars.abs().max() < 200 * size
