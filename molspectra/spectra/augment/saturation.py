"""Saturation of strong bands."""

import math

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import GridAugmentation, strongest
from molspectra.spectra.augment.ranges import Range, check_range, draw
from molspectra.spectra.axis import SpectrumAxis


class Saturation(GridAugmentation):
    """Saturation of strong bands by stray light, which reaches the detector without passing the sample.

    A detector sees the transmitted part 10^-A of the light and stray light, a part p. The absorbance shown is
    A' = -log₁₀((10^-A + p) / (1 + p)), at most -log₁₀(p / (1 + p)): the strongest bands become flat, and weak ones stay
    almost as they are. The intensities are taken as proportional to an absorbance whose largest value is drawn, since
    the sample may be thin or thick. The result has the scale of the input.

    Args:
        absorbance: Absorbance A of the strongest band.
        stray_light: Part p of stray light. A range is drawn from uniformly in its logarithm.

    Raises:
        ValueError: `absorbance` or `stray_light` is not positive and finite.

    Example:
        >>> spectrum = torch.zeros(1, 3501)
        >>> spectrum[0, :2] = torch.tensor([3.0, 0.3])  # in absorbance, as the strongest band is given as 3
        >>> Saturation(absorbance=3.0, stray_light=0.01)(spectrum, ms.data.IR)[0, :3]
        tensor([1.9629, 0.2957, 0.0000])
    """

    def __init__(self, absorbance: Range = (0.5, 3.0), stray_light: Range = (1e-3, 1e-2)) -> None:
        self.absorbance = check_range("absorbance", absorbance, low=0, open_low=True)
        self.stray_light = check_range("stray_light", stray_light, low=0, open_low=True)

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Add the stray light to the light that is transmitted."""
        largest = strongest(spectra)
        scale = draw(self.absorbance, spectra, generator) / torch.where(largest == 0, 1.0, largest)
        stray = draw(self.stray_light, spectra, generator, logarithmic=True)
        unknown = spectra.isnan()
        # expm1 and log1p keep the digits of weak bands. Unknown samples are filled since NaN · 0 = NaN in the gradient.
        absorbed = torch.expm1(-math.log(10) * scale * spectra.masked_fill(unknown, 0.0))
        shown = -torch.log1p(absorbed / (1 + stray)) / math.log(10)
        return (shown / scale).masked_fill(unknown, torch.nan)
