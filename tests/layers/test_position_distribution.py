"""Means of a distribution of directions and distances."""

import numpy as np
import pytest
import torch

from molspectra.heads.sphere import SphereGrid
from molspectra.layers import PositionDistribution


def distribution(direction_logits, grid):
    log_weights = grid.log_weights
    radius = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf], [0.0, 0.0, 0.0, 0.0]]).double().log_softmax(1)
    radii = torch.tensor([0.0, 1.0, 2.0, 3.0]).double()
    return PositionDistribution(
        (direction_logits + log_weights).log_softmax(1), radius, grid.points, log_weights, radii
    )


def test_means_of_a_distribution():
    grid = SphereGrid.gauss_legendre(16)
    axis = torch.tensor([[0.6, 0.0, 0.8], [-1.0, 0.0, 0.0]], dtype=torch.float64)
    predicted = distribution(5 * axis @ grid.points.T, grid)  # von Mises–Fisher
    torch.testing.assert_close(predicted.mean_direction(), axis, atol=1e-8, rtol=0)
    assert predicted.mean_radius().tolist() == pytest.approx([0.5, 1.5])


def test_the_mean_direction_of_no_direction_is_finite_with_its_gradient():
    grid = SphereGrid.gauss_legendre(4)
    logits = torch.zeros(2, len(grid.points), dtype=torch.float64, requires_grad=True)
    mean = distribution(logits, grid).mean_direction()
    mean.sum().backward()
    assert mean.isfinite().all()
    assert logits.grad.isfinite().all()


def test_the_published_mean_directions(reference):
    with np.load(reference / "empp" / "labels.npz") as file:
        labels = {key: torch.from_numpy(file[key]) for key in file}
    grid = SphereGrid.equal_angle(20, 21)
    for temperature in ("0p1", "0p01"):
        for kind in ("unit", "unit_areaweighted"):
            direction = labels[f"label_{kind}_T{temperature}"].clamp(min=1e-300).log()
            predicted = PositionDistribution(direction, direction[:, :0], *grid, direction[0, :0])
            expected = labels[f"meandir_{kind}_T{temperature}"]
            expected = expected / expected.norm(dim=1, keepdim=True)
            torch.testing.assert_close(predicted.mean_direction(), expected, atol=1e-9, rtol=0)
