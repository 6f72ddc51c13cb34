"""Cutoff envelope and radial basis, by their formulas."""

import math

import pytest
import torch

from molspectra.encoders.painn.radial_basis import BesselBasis
from molspectra.layers import CosineCutoff, ExpNormalBasis


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
