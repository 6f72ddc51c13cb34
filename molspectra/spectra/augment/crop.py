"""Cropping of spectra to the range of an instrument."""

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import GridAugmentation
from molspectra.spectra.augment.ranges import Range, check_range, draw
from molspectra.spectra.axis import SpectrumAxis


class CropRange(GridAugmentation):
    """Range of an instrument: samples beyond it become NaN, which stands for unknown.

    An infrared spectrometer begins where its detector or its window ends: 650 cm^-1 with MCT, 400 cm^-1 with KBr.

    An encoder that refuses rows with some NaN needs the samples filled, such as by `nan_to_num`.

    Args:
        start: First sample that is known, in the unit of the axis.
        stop: Last sample that is known, in the unit of the axis.

    Raises:
        ValueError: the ranges of `start` and `stop` overlap, or a value is not finite. When called: nothing of the axis
            may remain.

    Example:
        >>> cropped = CropRange(start=(500, 800), stop=(3600, 4000))(torch.ones(1, 3501), ms.data.IR)
        >>> bool(cropped[:, 300:3100].isfinite().all())
        True
    """

    def __init__(self, start: Range, stop: Range) -> None:
        self.start = check_range("start", start, "unit of the axis")
        self.stop = check_range("stop", stop, "unit of the axis")
        if self.start[1] >= self.stop[0]:
            raise ValueError(f"start must lie below stop; got start up to {start!r} and stop from {stop!r}.")

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Mark samples beyond the range as unknown."""
        if self.start[1] > axis.stop or self.stop[0] < axis.start:
            raise ValueError(
                f"start and stop must leave a part of the axis {axis.name!r}, {axis.start:g} to {axis.stop:g} "
                f"{axis.unit}; got start {self.start} and stop {self.stop}."
            )
        start, stop = (draw(values, spectra, generator) for values in (self.start, self.stop))
        samples = torch.arange(axis.length, dtype=spectra.dtype, device=spectra.device)
        rounding = 1e-3  # a range that ends on a sample includes it
        first, last = ((value - axis.start) / axis.step for value in (start, stop))
        return spectra.masked_fill((samples < first - rounding) | (samples > last + rounding), torch.nan)
