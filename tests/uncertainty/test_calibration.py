"""Calibration of predictions whose distribution is known, and distributions against SciPy."""

import pytest
import torch
from scipy import stats

from molspectra.testing import without_shape_checks
from molspectra.uncertainty import Ensemble, Evidence, Normal, calibration


def simulated(count=20_000, seed=0):
    """Return means and standard deviations that differ from label to label, and labels drawn from them."""
    generator = torch.Generator().manual_seed(seed)
    mean = 10 * torch.randn(count, generator=generator, dtype=torch.float64)
    std = torch.rand(count, generator=generator, dtype=torch.float64) + 0.1
    return mean, std, mean + std * torch.randn(count, generator=generator, dtype=torch.float64)


def test_the_right_distribution_is_calibrated():
    mean, std, labels = simulated()
    found = calibration(Normal(mean, std), labels)
    # The observed share of n labels deviates by √(p (1 - p) / n), 0.0035 at most.
    assert found.error < 0.006
    assert found.area < 0.006
    assert found.squared_error < 19 * 0.006**2
    assert found.sharpness == pytest.approx(found.rmse, rel=0.03)
    assert found.rmse == pytest.approx((labels - mean).square().mean().sqrt().item())


@pytest.mark.parametrize(("factor", "shift"), [(0.5, 0.0), (3.0, 0.0), (1.0, 0.7)])
def test_a_wrong_distribution_misses_as_much_as_theory_says(factor, shift):
    """Labels are μ + σ ε, predicted are N(μ + shift σ, (factor σ)²): a share Φ(shift + factor z_p) is below level p."""
    mean, std, labels = simulated()
    found = calibration(Normal(mean + shift * std, factor * std), labels, levels=99)
    expected = torch.from_numpy(stats.norm.cdf(shift + factor * stats.norm.ppf(found.levels)))
    torch.testing.assert_close(found.observed, expected, atol=0.012, rtol=0.0)
    assert found.error == pytest.approx((expected - found.levels).abs().mean().item(), abs=0.006)
    fine = torch.linspace(0, 1, 20_001, dtype=torch.float64)[1:-1]
    area = torch.from_numpy(abs(stats.norm.cdf(shift + factor * stats.norm.ppf(fine)) - fine.numpy())).mean()
    assert found.area == pytest.approx(area.item(), abs=0.006)


def test_against_a_loop_over_levels_and_labels():
    mean, std, labels = simulated(50)
    labels[::7] = torch.nan
    found = calibration(Normal(mean, 2 * std), labels, levels=[0.1, 0.25, 0.9])
    known = [i for i in range(50) if i % 7]
    errors = []
    for level, observed in zip([0.1, 0.25, 0.9], found.observed.tolist(), strict=True):
        below = [labels[i] <= mean[i] + 2 * std[i] * stats.norm.ppf(level) for i in known]
        assert observed == pytest.approx(sum(below) / len(known))
        errors.append(abs(sum(below).item() / len(known) - level))
    assert found.error == pytest.approx(sum(errors) / 3)
    assert found.squared_error == pytest.approx(sum(error**2 for error in errors))
    share = [stats.norm.cdf(labels[i], mean[i], 2 * std[i]) for i in known]
    fine = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    distance = torch.stack([(torch.tensor(share) <= level).double().mean() - level for level in fine[::100]])
    assert found.area == pytest.approx(torch.trapezoid(distance.abs(), fine[::100]).item(), abs=2e-3)


def test_a_single_label():
    assert calibration(Normal(torch.zeros(1), torch.ones(1)), torch.zeros(1)).area == pytest.approx(0.25)


def test_evidence_is_students_t():
    gamma, nu, alpha, beta = (torch.rand(20, dtype=torch.float64) + 0.5 for _ in range(4))
    alpha = alpha + 1
    evidence, values = Evidence(gamma, nu, alpha, beta), 3 * torch.randn(20, dtype=torch.float64)
    student = stats.t(2 * alpha, gamma, (beta * (1 + nu) / (nu * alpha)).sqrt())
    torch.testing.assert_close(evidence.cdf(values), torch.from_numpy(student.cdf(values)))
    torch.testing.assert_close(evidence.std, torch.from_numpy(student.std()))
    assert evidence.mean is gamma


def test_evidence_against_samples_of_its_definition():
    gamma, nu, alpha, beta = 1.0, 2.0, 5.0, 3.0
    variance = torch.from_numpy(stats.invgamma(alpha, scale=beta).rvs(200_000, random_state=0))
    mean = gamma + (variance / nu).sqrt() * torch.randn(200_000, dtype=torch.float64)
    evidence = Evidence(*(torch.tensor([value], dtype=torch.float64) for value in (gamma, nu, alpha, beta)))
    assert evidence.aleatoric.item() == pytest.approx(variance.mean().item(), rel=0.02)
    assert evidence.epistemic.item() == pytest.approx(mean.var().item(), rel=0.02)
    labels = mean + variance.sqrt() * torch.randn(200_000, dtype=torch.float64)
    assert evidence.std.item() == pytest.approx(labels.std().item(), rel=0.02)


def test_ensembles():
    members = torch.randn(5, 30, 1, dtype=torch.float64)
    ensemble, values = Ensemble(members), torch.randn(30, 1, dtype=torch.float64)
    expected = stats.norm.cdf(values, members.mean(dim=0), members.std(dim=0))
    torch.testing.assert_close(ensemble.cdf(values), torch.from_numpy(expected))
    halves = [Ensemble(members[:, :10]), Ensemble(members[:, 10:])]
    torch.testing.assert_close(Ensemble.join(halves).members, members)


def test_a_distribution_without_width_is_a_step():
    sure = Normal(torch.ones(3), torch.zeros(3))
    assert sure.cdf(torch.tensor([0.0, 1.0, 2.0])).tolist() == [0.0, 0.5, 1.0]


def test_bad_arguments():
    one = Normal(torch.zeros(3), torch.ones(3))
    with pytest.raises(ValueError, match=r"shape of the predictions, \(3,\); got \(2,\)"):
        calibration(one, torch.zeros(2))
    with pytest.raises(ValueError, match="at least one label; got none"):
        calibration(one, torch.full((3,), torch.nan))
    with pytest.raises(ValueError, match="levels must be at least 1"):
        calibration(one, torch.zeros(3), levels=0)
    with pytest.raises(ValueError, match="levels must lie between 0 and 1"):
        calibration(one, torch.zeros(3), levels=[0.5, 1.0])
    with pytest.raises(ValueError, match="predicted must be finite"), without_shape_checks():
        calibration(Normal(torch.full((3,), torch.nan), torch.ones(3)), torch.zeros(3))
