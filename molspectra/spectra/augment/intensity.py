"""Gains, one for a spectrum or one for each band."""

import math

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import GridAugmentation
from molspectra.spectra.augment.ranges import Range, check_range, draw, normal, uniform
from molspectra.spectra.axis import SpectrumAxis

_WAVES = 8


class Gain(GridAugmentation):
    """Multiplication of a spectrum by one factor.

    Absorbance grows with path length and concentration, and a signal with the exposure, none of which says anything
    about the molecule.

    Args:
        factor: The factor. A range is drawn from uniformly in its logarithm.

    Raises:
        ValueError: `factor` is not positive and finite.

    Example:
        >>> Gain(2.0)(torch.ones(1, 3501), ms.data.IR).unique()
        tensor([2.])
    """

    def __init__(self, factor: Range = (0.5, 2.0)) -> None:
        self.factor = check_range("factor", factor, low=0, open_low=True)

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Multiply every spectrum by its factor."""
        return spectra * draw(self.factor, spectra, generator, logarithmic=True)


class BandGain(GridAugmentation):
    """Multiplication by a smooth random function, s(x) exp(σ g(x)), so that neighboring bands change alike.

    Computed intensities of infrared and Raman bands are wrong by tens of percent, each by another factor, and the
    response of a detector varies over the axis. g has mean 0, variance 1 and the correlation exp(-d² / 2 width²) at a
    distance d: it is a sum of 8 waves of random frequency and phase (A. Rahimi and B. Recht, Random features for
    large-scale kernel machines, NeurIPS 2007). Signs stay.

    Args:
        width: Correlation length in the unit of the axis, about the distance of bands that change independently.
        spread: σ, the standard deviation of the logarithm of the factor: 0.3 changes intensities by about 30 %.

    Raises:
        ValueError: `width` is not positive, or `spread` is negative.

    Example:
        >>> BandGain(width=200, spread=0.3)(torch.ones(1, 3501), ms.data.IR).min() > 0
        tensor(True)
    """

    def __init__(self, width: Range, spread: Range = (0.0, 0.3)) -> None:
        self.width = check_range("width", width, "unit of the axis", low=0, open_low=True)
        self.spread = check_range("spread", spread, low=0)

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Multiply by the random function."""
        shape = (spectra.shape[0], _WAVES)
        wavenumber = normal(shape, spectra, generator) * (axis.step / draw(self.width, spectra, generator))
        phase = 2 * math.pi * uniform(shape, spectra, generator)
        samples = torch.arange(axis.length, dtype=spectra.dtype, device=spectra.device)
        waves = torch.cos(wavenumber[..., None] * samples + phase[..., None])
        function = math.sqrt(2 / _WAVES) * waves.sum(dim=1)
        return spectra * torch.exp(draw(self.spread, spectra, generator) * function)
