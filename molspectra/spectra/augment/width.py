"""Broadening of spectra that have a line width already."""

import math

import torch
from torch import Tensor

from molspectra._validation import check_choice
from molspectra.spectra.augment.augmentation import GridAugmentation
from molspectra.spectra.augment.filtering import convolve
from molspectra.spectra.augment.ranges import Range, check_range, draw
from molspectra.spectra.axis import SpectrumAxis


class Rebroaden(GridAugmentation):
    """Broadening of spectra whose lines have a width already, to a greater one.

    The width used for a computed spectrum is a convention, where that of a measured band depends on the sample: some
    cm^-1 in a gas or a solution, tens of cm^-1 with hydrogen bonds. Convolution adds Gaussian widths in quadrature,
    √(w² - w₀²) leads from w₀ to w, and Lorentzian widths linearly, w - w₀. Lines of the other shape become Voigt
    profiles. The sum of the samples stays. Narrower lines would need a deconvolution, which amplifies noise: for sticks
    use :class:`BroadenSticks`.

    Args:
        fwhm: Full width w at half maximum afterwards, in the unit of the axis.
        original: Full width w₀ before, in the unit of the axis.
        shape: "lorentzian" or "gaussian", the shape of the lines.

    Raises:
        ValueError: `fwhm` is less than `original`, one of them is negative, or `shape` is unknown.

    Example:
        >>> line = ms.data.broaden(torch.tensor([2000.0]), torch.tensor([1.0]), ms.data.IR, fwhm=16, shape="lorentzian")
        >>> wide = Rebroaden(32.0, original=16.0)(line, ms.data.IR)
        >>> round(float(line.max() / wide.max()), 2), round(float(line.sum() / wide.sum()), 4)
        (2.0, 1.0)
    """

    def __init__(self, fwhm: Range, original: float = 0.0, shape: str = "lorentzian") -> None:
        self.original = check_range("original", original, "unit of the axis", low=0)[0]
        self.fwhm = check_range("fwhm", fwhm, f"unit of the axis, original={self.original:g}", low=self.original)
        check_choice("shape", shape, ("gaussian", "lorentzian"))
        self.shape = shape

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Convolve with a line of the width that is wanting."""
        fwhm = draw(self.fwhm, spectra, generator)
        if self.shape == "lorentzian":
            # The transform of a Lorentzian is the exponential decay of its excited state, exp(-2πγ|f|), γ = fwhm / 2.
            added = fwhm - self.original
            return convolve(spectra, axis, lambda frequency: torch.exp(-math.pi * added * frequency))
        variance = (fwhm.square() - self.original**2).clamp_min(0) / (8 * math.log(2))
        return convolve(spectra, axis, lambda frequency: torch.exp(-2 * math.pi**2 * variance * frequency.square()))
