"""Terms, bridges and rotatable bonds against the published lists, RDKit, networkx and hand-made graphs."""

import networkx
import pytest
import torch

import molspectra as ms
from molspectra.geometry import topology
from tests.conformers import IDS


def graph(*bonds):
    return torch.tensor(bonds, dtype=torch.int64).reshape(-1, 2).t().contiguous()


RING = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]
SPIRO = graph((0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 2))
NORBORNANE = graph((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (0, 6), (6, 3))
CUBANE = graph(*[(i, i ^ bit) for i in range(8) for bit in (1, 2, 4) if i < i ^ bit])


@pytest.mark.parametrize("molecule", IDS)
def test_published_lists(conformers, molecule):
    data = conformers.molecule(molecule)
    bonds, num_atoms = data.bond_index, len(data.z)
    assert torch.equal(topology.angles(bonds, num_atoms), conformers("slide/internal", molecule, "angles"))
    torsions = conformers("slide/internal", molecule, "torsions")
    assert torch.equal(topology.torsions(bonds, num_atoms, degenerate=True), torsions)
    degenerate = conformers("slide/internal", molecule, "torsion_degenerate")
    assert torch.equal(topology.torsions(bonds, num_atoms), torsions[:, ~degenerate])
    in_ring = conformers("frad/molecules", molecule, "bond_in_ring")
    assert torch.equal(topology.bonds_in_rings(bonds, num_atoms), in_ring)

    quads = topology.rotatable_bonds(bonds, data.bond_order, num_atoms)
    assert torch.equal(quads, conformers("frad/torsion_noise", molecule, "quads"))
    heavy = topology.rotatable_bonds(bonds, data.bond_order, num_atoms, ignored=data.z == 1)
    assert torch.equal(heavy, conformers("frad/torsion_noise", molecule, "quads_heavy"))


@pytest.mark.parametrize("molecule", IDS)
def test_what_hangs_on_an_atom_is_the_published_side_that_moves(conformers, molecule):
    data = conformers.molecule(molecule)
    parent, span, bridge = topology.spanning_forest(data.bond_index, len(data.z))
    quads = conformers("frad/torsion_noise", molecule, "quads").t().tolist()
    for (_, i, j, _), side in zip(quads, conformers("frad/torsion_noise", molecule, "side_mask"), strict=True):
        below = j if parent[j] == i else i
        assert bridge[below]
        hanging = (span[below, 0] <= span[:, 0]) & (span[:, 0] < span[below, 1])
        assert torch.equal(hanging if below == j else ~hanging, side)


def test_rings_and_rotatable_bonds_as_rdkit_finds_them():
    """RDKit's ring bonds and the pattern of the released code, on every other bundled molecule."""
    from rdkit import Chem as chem

    pattern = chem.MolFromSmarts("[!$(*#*)&!D1]-&!@[!$(*#*)&!D1]")
    for data in ms.data.MiniSpectra("all")[::2]:
        mol, num_atoms = ms.data.to_rdkit(data), len(data.z)
        info = mol.GetRingInfo()
        in_ring = [
            info.NumBondRings(mol.GetBondBetweenAtoms(i, j).GetIdx()) > 0 for i, j in data.bond_index.t().tolist()
        ]
        assert topology.bonds_in_rings(data.bond_index, num_atoms).tolist() == in_ring
        quads = topology.rotatable_bonds(data.bond_index, data.bond_order, num_atoms)
        found = {tuple(sorted(match)) for match in mol.GetSubstructMatches(pattern)}
        assert {tuple(sorted(pair)) for pair in quads[1:3].t().tolist()} == found


@pytest.mark.parametrize(
    ("bonds", "num_bridges"),
    [
        (graph(), 0),
        (graph((0, 1)), 1),
        (graph(*RING), 0),
        (graph(*RING, (0, 5), (5, 6)), 2),
        (SPIRO, 0),
        (NORBORNANE, 0),
        (CUBANE, 0),
        (graph((0, 1), (2, 3), (3, 4), (4, 2)), 1),
    ],
    ids=["no bonds", "one bond", "ring", "ring with a tail", "spiro", "bridged", "cage", "two fragments"],
)
def test_bridges_of_graphs(bonds, num_bridges):
    num_atoms = int(bonds.max()) + 1 if bonds.numel() else 3
    assert (~topology.bonds_in_rings(bonds, num_atoms)).sum() == num_bridges
    parent, span, bridge = topology.spanning_forest(bonds, num_atoms)
    assert bridge.sum() == num_bridges
    # Each atom lies in its parent's span, and spans have as many numbers as atoms below.
    assert (span[parent, 0] <= span[:, 0]).all()
    assert (span[:, 1] <= span[parent, 1]).all()
    assert sorted(span[:, 0].tolist()) == list(range(num_atoms))


def test_triple_and_double_bonds_do_not_rotate_nor_do_their_neighbours_next_to_triple_ones():
    # H3C-C#C-CH2-OH, 2-butyn-1-ol without three of its hydrogens on the methyl group.
    bonds = graph((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 6))
    order = torch.tensor([1.0, 3, 1, 1, 1, 1])
    assert topology.rotatable_bonds(bonds, order, 7)[1:3].t().tolist() == [[3, 4]]
    order = torch.tensor([1.0, 2, 1, 1, 1, 1])
    assert topology.rotatable_bonds(bonds, order, 7)[1:3].t().tolist() == [[0, 1], [2, 3], [3, 4]]
    assert topology.rotatable_bonds(bonds, torch.full((6,), 1.5), 7).shape == (4, 0)


def test_depths_of_rotatable_bonds():
    # A chain of six atoms: fragments {0, 1}, {2}, {3}, {4, 5}. Of two equal ends the first is taken.
    chain = graph((0, 1), (1, 2), (2, 3), (3, 4), (4, 5))
    quads = topology.rotatable_bonds(chain, torch.ones(5), 6)
    assert quads[1:3].t().tolist() == [[1, 2], [2, 3], [3, 4]]
    assert topology.rotatable_depths(chain, quads, 6).tolist() == [1, 2, 3]
    # With a seventh atom on the first, the other end has fewer atoms.
    longer = torch.cat([chain, graph((1, 6))], dim=1)
    assert topology.rotatable_depths(longer, quads, 7).tolist() == [3, 2, 1]
    # Each fragment counts from its own end. A molecule without rotatable bonds has no depths.
    twice = torch.cat([chain, chain + 6], dim=1)
    assert topology.rotatable_depths(twice, torch.cat([quads, quads + 6], dim=1), 12).tolist() == [1, 2, 3, 1, 2, 3]
    assert topology.rotatable_depths(graph(), quads[:, :0], 1).shape == (0,)


@pytest.mark.parametrize("num_bonds", [5, 15, 25])
def test_bridges_as_networkx_finds_them(num_bonds):
    for seed in range(20):
        random = networkx.gnm_random_graph(20, num_bonds, seed=seed)
        bonds = graph(*random.edges)
        bridges = bonds[:, ~topology.bonds_in_rings(bonds, 20)]
        assert {frozenset(bond) for bond in bridges.t().tolist()} == set(map(frozenset, networkx.bridges(random)))
