"""Calibration: the share of labels that lie below each predicted quantile."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._repr import fields_repr
from molspectra.uncertainty.distribution import Distribution


@dataclass(frozen=True, eq=False)
class Calibration:
    """Observed shares of labels below predicted quantiles (Kuleshov et al., ICML 2018, arXiv:1807.00263, §3.5)."""

    levels: Float[Tensor, " levels"]
    """Levels p of the quantiles."""
    observed: Float[Tensor, " levels"]
    """Share of the labels below the quantile of each level, p of a calibrated prediction."""
    error: float
    """Expected calibration error, the mean of |observed - p| over the levels; 0 is best, and 1/2 about the worst."""
    squared_error: float
    """Calibration error Σ (observed - p)² over the levels (Kuleshov, eq. 9 with weights 1)."""
    area: float
    """Miscalibration area ∫ |observed(p) - p| dp over all levels from 0 to 1, exact for the given labels."""
    sharpness: float
    """Root of the mean predicted variance, in units of the property. Where both are calibrated, lower is better."""
    rmse: float
    """Root of the mean squared error, which the sharpness of a calibrated prediction is about."""

    def __repr__(self) -> str:
        return fields_repr(self)


@torch.no_grad()
def calibration(
    predicted: Distribution, target: Float[Tensor, "*shape"], levels: int | Sequence[float] = 19
) -> Calibration:
    """Measure how well predicted distributions agree with labels that training has not seen.

    A prediction is calibrated if a share p of the labels lies below its quantiles of level p, for all p. Calibration
    says nothing about the size of errors, and the `sharpness` beside it says no more than how wide the predictions are.

    Args:
        predicted: Predicted distributions.
        target: Labels, in the shape of the mean. NaN is unknown and left out.
        levels: Levels of the quantiles, between 0 and 1, or their number: 19 are 0.05, 0.10, …, 0.95.

    Raises:
        ValueError: The shapes differ, there is no label, or a level is out of range.

    Example:
        >>> labels = torch.randn(1000, generator=torch.Generator().manual_seed(0))
        >>> exact, half = (ms.uncertainty.Normal(torch.zeros(1000), torch.full((1000,), std)) for std in (1.0, 0.5))
        >>> round(calibration(exact, labels).error, 2), round(calibration(half, labels).error, 2)
        (0.01, 0.1)
    """
    if target.shape != predicted.mean.shape:
        raise ValueError(
            f"target must have the shape of the predictions, {tuple(predicted.mean.shape)}; got {tuple(target.shape)}."
        )
    known = ~target.isnan()
    if not bool(known.any()):
        raise ValueError("target must hold at least one label; got none. Check that labels are not NaN throughout.")
    quantiles = _levels(levels)
    # The probability below the label, which is uniform for a calibrated prediction.
    below = predicted.cdf(target)[known].double().cpu().sort().values
    if not bool(below.isfinite().all()):
        raise ValueError("predicted must be finite wherever there is a label; got NaN or infinite parameters.")
    observed = torch.searchsorted(below, quantiles, right=True).double() / len(below)
    gap = observed - quantiles
    return Calibration(
        levels=quantiles,
        observed=observed,
        error=gap.abs().mean().item(),
        squared_error=gap.square().sum().item(),
        area=_area(below),
        sharpness=predicted.std[known].double().square().mean().sqrt().item(),
        rmse=(predicted.mean - target)[known].double().square().mean().sqrt().item(),
    )


def _levels(levels: int | Sequence[float]) -> Tensor:
    if isinstance(levels, int):
        if levels < 1:
            raise ValueError(f"levels must be at least 1; got {levels}.")
        return torch.arange(1, levels + 1, dtype=torch.float64) / (levels + 1)
    quantiles = torch.tensor(list(levels), dtype=torch.float64)
    if not len(quantiles) or not bool(((quantiles > 0) & (quantiles < 1)).all()):
        raise ValueError(f"levels must lie between 0 and 1, as 0.05 and 0.95; got {list(levels)}.")
    return quantiles


def _area(below: Float[Tensor, " labels"]) -> float:
    """Return ∫ |F(p) - p| dp with F the share of sorted probabilities up to p, which is constant between them."""
    edges = torch.cat([below.new_zeros(1), below.clamp(0, 1), below.new_ones(1)])
    share = torch.arange(len(below) + 1, dtype=below.dtype) / len(below)
    low, high = edges[:-1] - share, edges[1:] - share
    # Of |p - share| between two edges: a trapezoid, or two triangles if the share lies between them.
    straight = (high.square() - low.square()).abs() / 2
    crossed = (high.square() + low.square()) / 2
    return torch.where((low < 0) & (high > 0), crossed, straight).sum().item()
