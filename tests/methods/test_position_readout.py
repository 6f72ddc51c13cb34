"""Positions from known distributions."""

import pytest
import torch
from torch import nn

from molspectra.heads.sphere import SphereGrid
from molspectra.methods import locate
from molspectra.testing import random_orthogonal
from tests.oracles.empp import ideal_distribution

GRIDS = {
    "Gauss-Legendre": lambda: SphereGrid.gauss_legendre(16),
    "released": lambda: SphereGrid.equal_angle(40, 41).unweighted(),
}


def a_gap(num_atoms=7, num_molecules=5):
    """Return atoms at 1 to 4.5 Å from the missing atom of each molecule: anchor, molecule, truth."""
    truth = 3 * torch.randn(num_molecules, 3)
    molecule = torch.arange(num_molecules).repeat_interleave(num_atoms)
    away = nn.functional.normalize(torch.randn(len(molecule), 3), dim=1)
    anchor = truth[molecule] + away * (1 + 3.5 * torch.rand(len(molecule), 1))
    return anchor, molecule, truth


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("sharpness", "radius_std"), [(14.3, 0.5), (60.0, 0.1)], ids=["as labels", "sharp"])
def test_an_ideal_distribution_is_read_exactly(grid, sharpness, radius_std):
    anchor, molecule, truth = a_gap()
    distribution = ideal_distribution(grid(), truth[molecule] - anchor, sharpness, radius_std)
    # The unweighted grid prefers its poles, by some 4° for a label of temperature 0.1.
    tolerance = 0.25 if torch.equal(distribution.log_weights, distribution.log_weights[:1].expand(1640)) else 0.02
    found = locate(distribution, anchor, molecule, 5)
    assert (found - truth).norm(dim=1).max() < tolerance


def test_all_mass_at_one_point():
    """Set all other log-probabilities to -inf: no NaN, and the result is exact to the resolution of the grids."""
    anchor, molecule, truth = a_gap(num_atoms=12)
    blurred = ideal_distribution(SphereGrid.gauss_legendre(16), truth[molecule] - anchor, 14.3, 0.5)
    direction, radius = (
        torch.full_like(part, -torch.inf).scatter(1, part.sub(offset).argmax(dim=1, keepdim=True), 0.0)
        for part, offset in ((blurred.direction, blurred.log_weights), (blurred.radius, 0.0))
    )
    found = locate(blurred._replace(direction=direction, radius=radius), anchor, molecule, 5)
    assert (found - truth).norm(dim=1).max() < 0.2


def test_atoms_that_cannot_tell_two_places_apart_agree_on_the_one_they_share():
    """Give each atom the true direction and one at right angles to it: only the true one is shared."""
    anchor, molecule, truth = a_gap()
    displacement = truth[molecule] - anchor
    across = nn.functional.normalize(torch.linalg.cross(displacement, torch.randn_like(displacement)), dim=1)
    other = across * displacement.norm(dim=1, keepdim=True)
    distribution = ideal_distribution(SphereGrid.gauss_legendre(16), displacement, 30.0, 0.3, other=other)
    assert (locate(distribution, anchor, molecule, 5) - truth).norm(dim=1).max() < 0.1


def test_positions_turn_with_the_molecule_and_do_not_depend_on_the_batch():
    anchor, molecule, truth = a_gap()
    grid, displacement = SphereGrid.gauss_legendre(16), truth[molecule] - anchor
    displacement += 0.2 * torch.randn_like(displacement)
    found = locate(ideal_distribution(grid, displacement, 14.3, 0.5), anchor, molecule, 5)
    turn = random_orthogonal(anchor.dtype)
    turned = locate(ideal_distribution(grid, displacement @ turn.T, 14.3, 0.5), anchor @ turn.T, molecule, 5)
    torch.testing.assert_close(turned, found @ turn.T, rtol=0, atol=2e-3)
    some = molecule == 3
    alone = locate(ideal_distribution(grid, displacement[some], 14.3, 0.5), anchor[some], molecule[some] - 3, 1)
    torch.testing.assert_close(alone[0], found[3])
