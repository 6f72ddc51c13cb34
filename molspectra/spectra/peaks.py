"""Peaks on a `SpectrumAxis`: in the bins of its samples, or as lines averaged over these bins."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra.spectra.axis import SpectrumAxis

_VALUES_AT_ONCE = 1 << 22  # values of the matrix (peaks × samples) formed at a time


def sum_in_bins(
    positions: Float[Tensor, " peaks"], intensities: Float[Tensor, " peaks"], axis: SpectrumAxis
) -> Float[Tensor, " length"]:
    """Add each peak to the sample that is nearest to it. Peaks beyond the axis by more than half a step are left out.

    Args:
        positions: Positions in the unit of the axis, (K,).
        intensities: Heights or areas, (K,).
        axis: The axis wanted.

    Returns:
        Sums of intensities, (L,).

    Example:
        >>> sum_in_bins(torch.tensor([15.02, 14.9]), torch.tensor([30.0, 1.0]), SpectrumAxis("ms", 14, 16, 1, "m/z"))
        tensor([ 0., 31.,  0.])
    """
    sample = ((positions - axis.start) / axis.step).round()
    inside = (sample >= 0) & (sample < axis.length)
    return intensities.new_zeros(axis.length).index_add(0, sample[inside].long(), intensities[inside])


def average_lines(
    positions: Float[Tensor, " peaks"],
    areas: Float[Tensor, " peaks"],
    axis: SpectrumAxis,
    fwhm: float,
    shape: str,
) -> Float[Tensor, " length"]:
    """Average lines over the bins of an axis, from half a step below each sample to half a step above.

    Bins are cut at the ends of the axis, so that `torch.trapezoid` of the result is the area on it, at any width of the
    lines. :func:`~molspectra.data.broaden` samples the lines instead, which needs a width of some steps.

    Args:
        positions: Positions in the unit of the axis, (K,).
        areas: Area of each line, (K,).
        axis: The axis wanted.
        fwhm: Full width at half maximum, in the unit of the axis.
        shape: "gaussian" or "lorentzian".

    Returns:
        Areas per unit of the axis, (L,).
    """
    grid = axis.grid.to(positions)
    edges = torch.cat([grid[:1], grid[1:] - axis.step / 2, grid[-1:]])
    total = areas.new_zeros(axis.length)
    at_once = max(1, _VALUES_AT_ONCE // axis.length)
    for centers, some in zip(positions.split(at_once), areas.split(at_once), strict=True):
        total = total + some @ _area_below(edges - centers[:, None], fwhm, shape).diff(dim=1)
    return total / edges.diff()


def bin_widths(axis: SpectrumAxis) -> Float[Tensor, " length"]:
    """Return the widths of the bins, (L,) float64: the step, and half of it at both ends of the axis."""
    widths = torch.full((axis.length,), axis.step, dtype=torch.float64)
    widths[[0, -1]] /= 2
    return widths


def peak_of_unit_area(fwhm: float, shape: str) -> float:
    """Return the height of a line of area 1."""
    return math.sqrt(4 * math.log(2) / math.pi) / fwhm if shape == "gaussian" else 2 / (math.pi * fwhm)


def _area_below(offset: Tensor, fwhm: float, shape: str) -> Tensor:
    """Return the part of a line of area 1 below a distance from its center."""
    if shape == "gaussian":
        return 0.5 * (1 + torch.erf(offset * (2 * math.sqrt(math.log(2)) / fwhm)))
    return 0.5 + torch.atan(offset * (2 / fwhm)) / math.pi
