"""The sliced loss: its limit, and its normaliser."""

import pytest
import torch

from molspectra.objectives import SliDeLoss


def fields(num_atoms=12):
    generator = torch.Generator().manual_seed(0)
    predicted, gradient = torch.randn(2, num_atoms, 3, dtype=torch.float64, generator=generator)
    return predicted, 5 * gradient, torch.tensor([0] * 5 + [1] + [2] * (num_atoms - 6))


def test_exact_is_the_mean_squared_error():
    predicted, gradient, batch = fields()
    expected = (predicted - gradient).square().sum() / 36
    torch.testing.assert_close(SliDeLoss(normalize=False)(predicted, gradient, batch), expected)
    normalized = (predicted - gradient / gradient.square().mean().sqrt()).square().mean()
    torch.testing.assert_close(SliDeLoss()(predicted, gradient), normalized)


def test_sliced_is_the_published_estimator():
    """(1/S) Σ_s (m·v_s - g·v_s)² of each molecule, summed, with the slices drawn one by one."""
    predicted, gradient, batch = fields()
    loss = SliDeLoss("sliced", 7, normalize=False)(predicted, gradient, batch, torch.Generator().manual_seed(1))
    slices = torch.randn(7, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = 0.0
    for molecule in range(3):
        of_molecule = batch == molecule
        for v in slices[:, of_molecule]:
            expected += ((predicted[of_molecule] * v).sum() - (gradient[of_molecule] * v).sum()) ** 2 / 7
    torch.testing.assert_close(loss, expected / 36)


def test_sliced_converges_to_exact():
    predicted, gradient, batch = fields()
    predicted.requires_grad_()
    exact = SliDeLoss(normalize=False)(predicted, gradient)
    (exact_slope,) = torch.autograd.grad(exact, predicted)
    errors = []
    for num_slices in (100, 10_000, 1_000_000):
        generator = torch.Generator().manual_seed(1)
        loss = SliDeLoss("sliced", num_slices, normalize=False)(predicted, gradient, batch, generator)
        (slope,) = torch.autograd.grad(loss, predicted)
        errors.append(((loss / exact - 1).abs().item(), ((slope - exact_slope).norm() / exact_slope.norm()).item()))
    for (loss_error, slope_error), num_slices in zip(errors, (100, 10_000, 1_000_000), strict=True):
        # (m·v - g·v)² of one molecule has a standard deviation of √2 times its mean, its gradient of about √3N times.
        assert loss_error < 5 * (2 / num_slices) ** 0.5
        assert slope_error < 5 * (36 / num_slices) ** 0.5


def test_bad_input():
    with pytest.raises(ValueError, match="num_slices must be at least 1"):
        SliDeLoss("sliced", 0)


@pytest.mark.usefixtures("no_shape_checks")
def test_unknown_target():
    with pytest.raises(ValueError, match='target must be "exact" or "sliced"; got \'both\''):
        SliDeLoss("both")
