"""Stretching, bending and twisting at bridges, measured on the result."""

import pytest
import torch

from molspectra.geometry import deform, internal_coordinates, rotate_torsions, wrap_angle
from tests.conformers import distances, prepared_molecule, rigid_parts, volumes


@pytest.fixture(scope="module", params=["CCO", "CC1CC1CO", "c1ccccc1C(=O)NC", "CO.CS", "[Na+].[O-]C=O"])
def molecule(request):
    return prepared_molecule(request.param)


def changes(data, size=1.0):
    """Random changes for each atom. Its arm is its parent, so that its parent's arm is the grandparent."""
    generator = torch.Generator().manual_seed(1)
    stretch, twist = (0.1 * size * torch.randn(len(data.z), generator=generator).double() for _ in range(2))
    bend = 0.1 * size * torch.randn(2, len(data.z), generator=generator).double()
    return stretch, bend, twist


def deformed(data, stretch, bend, twist):
    return deform(
        data.pos, data.parent_index, data.bridge, stretch=stretch, bend=bend, twist=twist, arm=data.parent_index
    )


def test_each_change_is_what_is_measured(molecule):
    parent, atoms = molecule.parent_index, torch.arange(len(molecule.z))
    stretch, bend, twist = changes(molecule)
    pos = deformed(molecule, stretch, bend, twist)
    grandparent = parent[parent]
    bridges = atoms[molecule.bridge]
    bonds = torch.stack([parent[bridges], bridges])
    inner = bridges[grandparent[bridges] != parent[bridges]]
    angles = torch.stack([grandparent[inner], parent[inner], inner])
    # A torsion about a bridge, between any child of it and the grandparent.
    outer = atoms[(parent != atoms) & torch.isin(parent, inner)]
    torsions = torch.stack([grandparent[parent[outer]], parent[parent[outer]], parent[outer], outer])
    before = internal_coordinates(molecule.pos, bonds, angles, torsions)
    after = internal_coordinates(pos, bonds, angles, torsions)
    torch.testing.assert_close(after[0] - before[0], stretch[bridges], rtol=0, atol=1e-12)
    torch.testing.assert_close(after[1] - before[1], bend[0][inner], rtol=0, atol=1e-12)
    torch.testing.assert_close(wrap_angle(after[2] - before[2]), twist[parent[outer]], rtol=0, atol=1e-10)


def test_what_is_rigid_stays_rigid(molecule):
    pos = deformed(molecule, *changes(molecule))
    for part in rigid_parts(molecule):
        torch.testing.assert_close(distances(pos[part]), distances(molecule.pos[part]), rtol=0, atol=1e-12)
    roots = molecule.parent_index == torch.arange(len(molecule.z))
    assert torch.equal(pos[roots], molecule.pos[roots])


def test_twisting_is_rotating_about_torsions(molecule):
    _, i, j, _ = molecule.rotatable_index
    turns = torch.randn(len(i), dtype=torch.float64)
    twist = torch.zeros(len(molecule.z), dtype=torch.float64)
    twist[torch.where(molecule.parent_index[j] == i, j, i)] = turns
    zero = torch.zeros_like(twist)
    pos, rotated = deformed(molecule, zero, torch.stack([zero, zero]), twist), rotate_torsions(molecule, turns)
    for root in (molecule.parent_index == torch.arange(len(molecule.z))).nonzero().flatten():
        span = molecule.tree_span
        of_fragment = (span[root, 0] <= span[:, 0]) & (span[:, 0] < span[root, 1])
        torch.testing.assert_close(distances(pos[of_fragment]), distances(rotated[of_fragment]), rtol=0, atol=1e-12)
        torch.testing.assert_close(volumes(pos[of_fragment]), volumes(rotated[of_fragment]), rtol=0, atol=1e-11)


def test_no_change_and_changes_away_from_bridges_do_nothing(molecule):
    zero = torch.zeros(len(molecule.z), dtype=torch.float64)
    unmoved = deformed(molecule, zero, torch.stack([zero, zero]), zero)
    torch.testing.assert_close(unmoved, molecule.pos, rtol=0, atol=1e-13)
    everywhere_else = (~molecule.bridge).double()
    unmoved = deformed(molecule, everywhere_else, torch.stack([everywhere_else] * 2), everywhere_else)
    torch.testing.assert_close(unmoved, molecule.pos, rtol=0, atol=1e-13)


def test_gradients():
    data = prepared_molecule("CO")
    pos = data.pos.requires_grad_()
    amounts = [change.requires_grad_() for change in changes(data)]

    def run(pos, stretch, bend, twist):
        return deform(
            pos, data.parent_index, data.bridge, stretch=stretch, bend=bend, twist=twist, arm=data.parent_index
        )

    assert torch.autograd.gradcheck(run, (pos, *amounts))


def test_on_a_line_there_is_no_bending():
    pos = torch.tensor([[-1.2, 0, 0], [0, 0, 0], [1.2, 0, 0]])
    parent, bridge = torch.tensor([0, 0, 1]), torch.tensor([False, True, True])
    bend = torch.full((2, 3), 0.5)
    longer = deform(pos, parent, bridge, stretch=torch.full((3,), 0.1), bend=bend, twist=torch.ones(3), arm=parent)
    torch.testing.assert_close(longer, torch.tensor([[-1.2, 0, 0], [0.1, 0, 0], [1.4, 0, 0]]))


def test_bending_needs_arms():
    parent, zero = torch.zeros(2, dtype=torch.int64), torch.zeros(2)
    with pytest.raises(ValueError, match="bend needs arm"):
        deform(torch.rand(2, 3), parent, torch.tensor([False, True]), twist=zero, bend=torch.zeros(2, 2))
