"""Bond-path lengths against networkx."""

import networkx
import pytest
import torch

from molspectra.geometry.hops import hop_counts


def all_pairs(num_atoms):
    return torch.cartesian_prod(torch.arange(num_atoms), torch.arange(num_atoms)).T


def by_networkx(bond_index, edge_index, num_atoms, max_hops):
    graph = networkx.Graph(bond_index.T.tolist())
    graph.add_nodes_from(range(num_atoms))
    lengths = dict(networkx.all_pairs_shortest_path_length(graph, cutoff=max_hops))
    return torch.tensor([lengths[i].get(j, 0) for i, j in edge_index.T.tolist()], dtype=torch.int64)


@pytest.mark.parametrize("max_hops", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("both_directions", [False, True])
@pytest.mark.parametrize("num_bonds", [0, 5, 20, 60])
def test_equals_networkx(num_bonds, both_directions, max_hops):
    """Random graphs, with rings, fragments, self-loops and bonds listed twice."""
    num_atoms = 25
    bond_index = torch.randint(num_atoms, (2, num_bonds))
    if both_directions:
        bond_index = torch.cat([bond_index, bond_index.flip(0)], dim=1)
    edge_index = all_pairs(num_atoms)[:, torch.randperm(num_atoms**2)]
    hops = hop_counts(bond_index, edge_index, num_atoms, max_hops)
    assert torch.equal(hops, by_networkx(bond_index, edge_index, num_atoms, max_hops))


def test_published_edge_types(load_fixture):
    inputs = load_fixture("emgp/inputs.safetensors")
    bond_index, num_atoms = inputs["bond_index"], len(inputs["z"])
    once = bond_index[:, bond_index[0] < bond_index[1]]
    for bonds in (bond_index, once):
        assert torch.equal(hop_counts(bonds, inputs["edge_index"], num_atoms, 3), inputs["edge_type"])


def test_nothing_to_look_up():
    bond_index = torch.tensor([[0], [1]])
    assert hop_counts(bond_index, torch.empty(2, 0, dtype=torch.int64), 2, 3).shape == (0,)
    alone = torch.zeros(2, 1, dtype=torch.int64)
    assert hop_counts(torch.empty(2, 0, dtype=torch.int64), alone, 1, 3).tolist() == [0]


@pytest.mark.cuda
def test_cuda():
    bond_index = torch.randint(50, (2, 60))
    expected = hop_counts(bond_index, all_pairs(50), 50, 4)
    assert torch.equal(hop_counts(bond_index.cuda(), all_pairs(50).cuda(), 50, 4).cpu(), expected)


@pytest.mark.compile
def test_compile():
    compiled = torch.compile(hop_counts, fullgraph=True, backend="aot_eager")
    for num_atoms in (6, 9):
        bond_index = torch.randint(num_atoms, (2, num_atoms))
        arguments = bond_index, all_pairs(num_atoms), num_atoms, 3
        assert torch.equal(compiled(*arguments), hop_counts(*arguments))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("bond_index", "max_hops", "error", "message"),
    [
        (torch.tensor([[0], [1]]), 0, ValueError, "max_hops must be at least 1; got 0"),
        (torch.ones(2, 1, dtype=torch.float32), 1, TypeError, "bond_index must be int64; got torch.float32"),
        (torch.tensor([[0, 1, 2]]), 1, ValueError, r"bond_index must have shape \(2, B\)"),
        (torch.empty(0, dtype=torch.int64), 1, ValueError, r"bond_index must have shape \(2, B\)"),
        (torch.tensor([[0], [3]]), 1, ValueError, "must hold atoms 0..2; got bond 0 = .0, 3.. Number"),
        (torch.tensor([[-1], [1]]), 1, ValueError, "must hold atoms 0..2; got bond 0 = .-1, 1."),
    ],
)
def test_impossible_bonds_are_refused(bond_index, max_hops, error, message):
    with pytest.raises(error, match=message):
        hop_counts(bond_index, all_pairs(3), 3, max_hops)
