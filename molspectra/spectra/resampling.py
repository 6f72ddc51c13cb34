"""Interpolation of spectra from any grid onto a `SpectrumAxis`."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._validation import check_choice, check_tensor
from molspectra.spectra.axis import SpectrumAxis, check_axis

OUTSIDE = ("nan", "zero", "raise")
"""Treatments of samples beyond the source grid."""
_ROUNDING = 1e-9  # part of a step by which a position may be wrong


def resample(
    spectrum: Float[Tensor, "*batch points"],
    source: SpectrumAxis | Float[Tensor, " points"],
    target: SpectrumAxis,
    outside: str = "nan",
    conserve_area: bool = False,
) -> Float[Tensor, "*batch length"]:
    """Bring spectra from any grid onto an axis, along the last dimension.

    By default the value at each sample of `target` is interpolated linearly between its two neighbors on the source
    grid. That is right for a spectrum sampled about as finely as `target`, or more coarsely. From a much finer one it
    drops the samples in between, and with them lines narrower than a step. `conserve_area=True` averages the
    piecewise linear spectrum over the bin of each sample instead (from half a step below it to half a step above, cut
    at the ends of the axis), so that `torch.trapezoid` of the result is the integral of the source over the axis.

    A missing spectrum, a row of NaN, stays missing. A gap, some samples of NaN, stays a gap: of interpolation in the
    samples between its neighbors, of averages in the bins that touch it. The result is differentiable in `spectrum`.

    Args:
        spectrum: Intensities, (..., K).
        source: Axis of the spectra, or the positions of their samples in the unit of `target`: (K,), strictly ascending
            or strictly descending (as measured infrared spectra often are), not necessarily uniform. Units are not
            converted: for wavelengths λ in nm pass 1239.84 / λ to get eV.
        target: Axis of the result.
        outside: Value where `target` reaches beyond the source grid (by more than 1/1000 step): "nan", a gap, since
            nothing is known there, "zero", for a spectrum that is empty beyond its grid, or "raise", a ValueError.
        conserve_area: Average over bins rather than interpolate. Only the part of a bin within the source grid is
            averaged. With `outside="zero"` the rest counts as zero.

    Returns:
        Intensities on `target`, (..., L), of the dtype of `spectrum`.

    Raises:
        TypeError: `spectrum` is no tensor, or an axis is given by name.
        ValueError: `source` does not fit `spectrum`, is not monotone or has fewer than two points, or `outside` is
            unknown, or is "raise" and the source does not cover `target`.

    Example:
        >>> measured = torch.tensor([3.0, 2.0, 1.0])  # on a descending grid
        >>> resample(measured, torch.tensor([30.0, 20.0, 10.0]), SpectrumAxis("ir", 10, 40, 5, "cm^-1"))
        tensor([1.0000, 1.5000, 2.0000, 2.5000, 3.0000,    nan,    nan])
    """
    check_axis("target", target)
    check_choice("outside", outside, OUTSIDE)
    if isinstance(source, str):
        check_axis("source", source)
    if not isinstance(source, SpectrumAxis):
        check_tensor("source", source)
    check_tensor("spectrum", spectrum)
    grid = source.grid if isinstance(source, SpectrumAxis) else source.detach().double()
    # At 4000 cm^-1 float32 resolves 2e-4 of a step of 1 cm^-1, and the running sums below lose more.
    values = spectrum.double()
    if grid.dim() != 1 or grid.shape[0] < 2 or spectrum.shape[-1:] != grid.shape:
        raise ValueError(
            f"source must have at least two points, as many as spectrum has along its last dimension; got a grid of "
            f"shape {tuple(grid.shape)} for a spectrum of shape {tuple(spectrum.shape)}."
        )
    # Infrared spectra are often measured from high to low wavenumber. searchsorted needs an ascending grid.
    if bool(grid[0] > grid[-1]):
        grid, values = grid.flip(0), values.flip(-1)
    if not bool((grid[1:] > grid[:-1]).all()):
        raise ValueError(
            "source must be strictly ascending or strictly descending and finite; it is not. Sort grid and spectrum "
            "(order = source.argsort()) and merge samples at equal positions."
        )
    # Axes were checked on the CPU, for which no device had to be waited for.
    grid, points = grid.to(spectrum.device), target.grid.to(spectrum.device)
    beyond = (points < grid[0] - 1e-3 * target.step) | (points > grid[-1] + 1e-3 * target.step)
    if outside == "raise" and bool(beyond.any()):
        raise ValueError(
            f"source must cover {target.start:g} to {target.stop:g} {target.unit} ({target.name}); got "
            f'{float(grid[0]):g} to {float(grid[-1]):g}. Pass outside="nan" or outside="zero", or a shorter target.'
        )
    if conserve_area:
        resampled = _average(values, grid, points, target.step, whole_bins=outside == "zero")
    else:
        resampled = _interpolate(values, grid, points)
    resampled = resampled.masked_fill(beyond, 0.0 if outside == "zero" else math.nan)
    missing = spectrum.isnan().all(dim=-1, keepdim=True)
    return resampled.masked_fill(missing, math.nan).to(spectrum.dtype)


def _segment(grid: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the source interval [low, low + 1] of each point, its width, and the point's fraction of it, 0 to 1."""
    low = (torch.searchsorted(grid, points, right=True) - 1).clamp(0, grid.shape[0] - 2)
    width = grid[low + 1] - grid[low]
    return low, width, ((points - grid[low]) / width).clamp(0, 1)


def _interpolate(values: Tensor, grid: Tensor, points: Tensor) -> Tensor:
    """Return the piecewise linear spectrum at each point."""
    low, _, fraction = _segment(grid, points)
    left, right = values[..., low], values[..., low + 1]
    # A point on a sample does not depend on the neighbor, which may lie in a gap.
    left, right = (
        torch.where((fraction > 1 - _ROUNDING) & ~left.isfinite(), right, left),
        torch.where((fraction < _ROUNDING) & ~right.isfinite(), left, right),
    )
    return torch.lerp(left, right, fraction)


def _average(values: Tensor, grid: Tensor, points: Tensor, step: float, whole_bins: bool) -> Tensor:
    """Return the mean of the piecewise linear spectrum over the bin of each point, NaN where the bin touches a gap.

    The parts of bins beyond the grid count as zero with `whole_bins`, and otherwise not at all.
    """
    edges = torch.cat([points[:1], points[1:] - step / 2, points[-1:]])
    known = values.isfinite()
    # A running sum would carry one NaN into all bins above it.
    integral = _integral(values.masked_fill(~known, 0.0), grid, edges)
    gap = (~(known[..., 1:] & known[..., :-1])).to(grid.dtype)  # 1 in each source interval with an unknown end
    missing = _integral_of_steps(gap, grid, edges).diff(dim=-1) > _ROUNDING * step
    widths = edges.diff() if whole_bins else edges.clamp(grid[0], grid[-1]).diff()
    widths = widths.masked_fill(widths == 0, 1.0)  # of bins that are beyond as a whole
    return (integral.diff(dim=-1) / widths).masked_fill(missing, math.nan)


def _integral(values: Tensor, grid: Tensor, edges: Tensor) -> Tensor:
    """Return the integral of the piecewise linear spectrum up to each edge."""
    low, width, fraction = _segment(grid, edges)
    left, right = values[..., low], values[..., low + 1]
    # Whole source intervals by the trapezoidal rule, then a part of one, a trapezoid too.
    before = torch.nn.functional.pad(torch.cumulative_trapezoid(values, grid, dim=-1), (1, 0))
    return before[..., low] + width * fraction * (left + 0.5 * fraction * (right - left))


def _integral_of_steps(heights: Tensor, grid: Tensor, edges: Tensor) -> Tensor:
    """Return the integral up to each edge of a function that is constant in each source interval."""
    low, width, fraction = _segment(grid, edges)
    before = torch.nn.functional.pad((heights * grid.diff()).cumsum(dim=-1), (1, 0))
    return before[..., low] + width * fraction * heights[..., low]
