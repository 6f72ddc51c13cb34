"""Peaks that were not found."""

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import PeakAugmentation
from molspectra.spectra.augment.ranges import Range, check_range, draw, uniform
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis


class DropPeaks(PeakAugmentation):
    """Loss of peaks: each peak but the strongest becomes NaN with a probability.

    Peaks are lost below the threshold of a detector, in another spectrum's noise, or since another collision energy
    does not make the fragment. The strongest peak stays, so that no list of peaks becomes a missing one.

    Args:
        fraction: Probability that a peak is dropped, drawn for each spectrum.

    Raises:
        ValueError: `fraction` is not between 0 and 1.

    Example:
        >>> peaks = torch.tensor([[[77.04, 1.0], [105.03, 9.0], [122.04, 4.0]]])
        >>> DropPeaks(fraction=1.0)(peaks)
        tensor([[[     nan,      nan],
                 [105.0300,   9.0000],
                 [     nan,      nan]]])
    """

    any_positions = True

    def __init__(self, fraction: Range = (0.0, 0.3)) -> None:
        self.fraction = check_range("fraction", fraction, low=0, high=1)

    def apply(self, peaks: Tensor, axis: SpectrumAxis | PeakAxis | None, generator: torch.Generator | None) -> Tensor:
        """Fill dropped peaks with NaN, in place of which they stay."""
        height = peaks[..., self._num_positions(peaks, axis)].detach().abs().nan_to_num(-1.0)
        lost = uniform(tuple(height.shape), peaks, generator) < draw(self.fraction, peaks, generator)
        lost = lost & (height < height.amax(dim=1, keepdim=True)) if peaks.shape[1] else lost
        return peaks.masked_fill(lost[..., None], torch.nan)
