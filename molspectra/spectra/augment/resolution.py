"""Loss of resolution in a Fourier transform spectrometer."""

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import GridAugmentation
from molspectra.spectra.augment.filtering import convolve
from molspectra.spectra.augment.ranges import Range, check_range, draw
from molspectra.spectra.axis import SpectrumAxis


class ResolutionLoss(GridAugmentation):
    """Resolution of a Fourier transform spectrometer, with triangular apodization.

    Its mirror travels to an optical path difference of 1 / resolution, where the interferogram ends. Triangular
    apodization multiplies the interferogram with 1 - |path difference| · resolution. The spectrum is so convolved with
    sinc²: lines closer than the resolution merge, and none becomes negative. The sum of the samples stays, and so does
    the grid. P. R. Griffiths and J. A. de Haseth, Fourier Transform Infrared Spectrometry, 2nd ed. (2007), chapter 2.

    Args:
        resolution: Nominal resolution, in the unit of the axis: 4 or 8 cm^-1 are usual for infrared spectra.

    Raises:
        ValueError: `resolution` is negative or not finite.

    Example:
        >>> two_lines = ms.data.broaden(torch.tensor([1999.0, 2001.0]), torch.ones(2), ms.data.IR, fwhm=1)
        >>> spectrum = ResolutionLoss(8.0)(two_lines, ms.data.IR)
        >>> float(ms.data.IR.grid[spectrum.argmax()])  # one band
        2000.0
    """

    def __init__(self, resolution: Range = (2.0, 16.0)) -> None:
        self.resolution = check_range("resolution", resolution, "unit of the axis", low=0)

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Multiply the interferogram with the apodization."""
        resolution = draw(self.resolution, spectra, generator)
        return convolve(spectra, axis, lambda path: (1 - path * resolution).clamp_min(0))
