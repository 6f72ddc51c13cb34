"""Peaks that belong to no molecule."""

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import PeakAugmentation, strongest
from molspectra.spectra.augment.ranges import Range, check_range, draw, uniform
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis


class NoisePeaks(PeakAugmentation):
    """Addition of weak peaks at random positions: electronic noise, impurities and other ions that were isolated.

    Args:
        positions: Lowest and highest position, in the unit of the peaks. Positions are uniform in between.
        count: Number of noise peaks, drawn for each spectrum: an integer, or the smallest and the largest.
        height: Height as part of the strongest peak's. A range is drawn from uniformly in its logarithm, for each peak.

    Raises:
        TypeError: `count` has values that are no integers.
        ValueError: `count` is negative, `height` is not positive, or a range descends.

    Example:
        >>> peaks = torch.tensor([[[105.03, 9.0]], [[torch.nan, torch.nan]]])
        >>> noisy = NoisePeaks(positions=(50, 200), count=3, height=0.01)(peaks)
        >>> noisy.shape, noisy[..., 1]  # the missing list stays missing
        (torch.Size([2, 4, 2]), tensor([[9.0000, 0.0900, 0.0900, 0.0900],
                [   nan,    nan,    nan,    nan]]))
    """

    def __init__(
        self,
        positions: Range,
        count: Range = (0, 20),
        height: Range = (1e-3, 2e-2),
    ) -> None:
        self.positions = check_range("positions", positions, "unit of the peaks")
        lowest, highest = check_range("count", count, low=0)
        if lowest != int(lowest) or highest != int(highest):
            raise TypeError(f"count must be an integer or a pair of integers; got {count!r}.")
        self.count = int(lowest), int(highest)
        self.height = check_range("height", height, low=0, open_low=True)

    def apply(self, peaks: Tensor, axis: SpectrumAxis | PeakAxis | None, generator: torch.Generator | None) -> Tensor:
        """Append the noise peaks, (B, K + largest count, 2). NaN pads the lists that get fewer."""
        fewest, most = self.count
        shape = (peaks.shape[0], most)
        position = self.positions[0] + (self.positions[1] - self.positions[0]) * uniform(shape, peaks, generator)
        low, high = self.height
        height = low * (high / low) ** uniform(shape, peaks, generator) * strongest(peaks[..., 1])
        # floor of a number in [fewest, most + 1): all counts are equally probable.
        count = draw((float(fewest), most + 1.0), peaks, generator).floor()
        absent = torch.arange(most, device=peaks.device) >= count
        missing = peaks[..., 1].isnan().all(dim=1, keepdim=True)
        noise = torch.stack([position, height], dim=-1).masked_fill((absent | missing)[..., None], torch.nan)
        return torch.cat([peaks, noise], dim=1)
