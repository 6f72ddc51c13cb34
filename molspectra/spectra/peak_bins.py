"""Bins of the positions of peaks, over which a prediction is a distribution."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._config import Configurable
from molspectra._validation import check_sizes
from molspectra.spectra.peak_axis import PeakAxis, check_peak_axis


class PeakBins(Configurable):
    """Equal bins over the ranges of an axis, about ᵈ√n of them for each of its d positions.

    Args:
        axis: Axis of the peaks.
        number: Number n of bins wanted in total.

    Example:
        >>> bins = PeakBins(ms.data.PeakAxis("hsqc", "ppm", [(0, 200), (0, 10)]), number=100)
        >>> bins.counts, bins.index(torch.tensor([[30.0, 9.9]])), bins.centers[19]
        ((10, 10), tensor([19]), tensor([30.0000,  9.5000], dtype=torch.float64))
    """

    def __init__(self, axis: PeakAxis, number: int = 1024) -> None:
        check_peak_axis("axis", axis)
        check_sizes(number=number)
        self.axis = axis
        self.counts = (max(1, round(number ** (1 / axis.num_positions))),) * axis.num_positions
        """Number of bins of each position."""

    @property
    def number(self) -> int:
        """Number of bins in total."""
        return math.prod(self.counts)

    def index(self, positions: Float[Tensor, "*batch positions"]) -> Int[Tensor, "*batch"]:
        """Return the number of the bin of each peak, from its d positions.

        Positions beyond a range count in its first or last bin.
        """
        index = torch.zeros_like(positions[..., 0], dtype=torch.int64)
        for position, (low, high), count in zip(positions.unbind(-1), self.axis.ranges, self.counts, strict=True):
            bin_of = ((position - low) * (count / (high - low))).floor().long()
            index = index * count + bin_of.clamp(0, count - 1)
        return index

    @property
    def centers(self) -> Float[Tensor, "bins positions"]:
        """Center of each bin in the units of the axis, (n, d) float64 on the CPU."""
        middles = [
            low + (high - low) * (torch.arange(count, dtype=torch.float64, device="cpu") + 0.5) / count
            for (low, high), count in zip(self.axis.ranges, self.counts, strict=True)
        ]
        return torch.cartesian_prod(*middles).reshape(self.number, -1)
