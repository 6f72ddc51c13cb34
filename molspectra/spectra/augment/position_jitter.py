"""Errors of measured or computed positions of peaks."""

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import PeakAugmentation
from molspectra.spectra.augment.ranges import Range, check_range, draw, normal
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis


class PositionJitter(PeakAugmentation):
    """Error of each position, x + f (c + σ ε) with ε ~ N(0, 1) for each peak and position, in the unit of the peaks.

    σ describes peak picking, and the error of computed shifts, which is 1 to 2 ppm for 13C and 0.1 ppm for 1H. c is the
    reference, which differs with the solvent. Peaks of several positions have a factor f for each, such as 1 for 13C
    and 0.1 for 1H. With a :class:`~molspectra.data.PeakAxis`, positions stay in its ranges.

    Args:
        std: Standard deviation σ, drawn for each spectrum.
        shift: Common error c of a spectrum, of either sign.
        factors: Factor f of each position.

    Raises:
        ValueError: `std` is negative, or a value is not finite. When called: peaks have other numbers of positions.

    Example:
        >>> cross_peaks = torch.tensor([[[128.4, 7.26, 1.0]]])
        >>> axis = ms.data.PeakAxis("hsqc", "ppm", [(-20, 240), (-2, 14)])
        >>> PositionJitter(std=0.0, shift=2.0, factors=(1.0, 0.1))(cross_peaks, axis)
        tensor([[[130.4000,   7.4600,   1.0000]]])
    """

    any_positions = True

    def __init__(self, std: Range, shift: Range = 0.0, factors: tuple[float, ...] = (1.0,)) -> None:
        self.std = check_range("std", std, "unit of the peaks", low=0)
        self.shift = check_range("shift", shift, "unit of the peaks")
        self.factors = tuple(float(factor) for factor in factors)

    def apply(self, peaks: Tensor, axis: SpectrumAxis | PeakAxis | None, generator: torch.Generator | None) -> Tensor:
        """Move the peaks."""
        d = self._num_positions(peaks, axis)
        if len(self.factors) != d:
            raise ValueError(f"factors must have a value for each of the {d} positions; got {self.factors}.")
        moved = []
        for place, (position, factor) in enumerate(zip(peaks[..., :d].unbind(-1), self.factors, strict=True)):
            error = draw(self.std, peaks, generator) * normal(tuple(position.shape), peaks, generator)
            position = position + factor * (draw(self.shift, peaks, generator) + error)
            if isinstance(axis, PeakAxis):
                position = position.clamp(*axis.ranges[place])
            moved.append(position)
        return torch.cat([torch.stack(moved, dim=-1), peaks[..., d:]], dim=-1)
