"""Noise of detectors, at a signal-to-noise ratio."""

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import GridAugmentation, strongest
from molspectra.spectra.augment.ranges import Range, check_range, draw, normal
from molspectra.spectra.axis import SpectrumAxis


class WhiteNoise(GridAugmentation):
    """White noise, s + σ ε with ε ~ N(0, 1) in every sample and σ = max|s| / SNR.

    Thermal noise of an infrared detector does not depend on the light and is independent from sample to sample. The
    signal-to-noise ratio is that of the strongest band to the standard deviation of the noise. σ counts as a constant
    in the backward pass.

    Args:
        snr: Signal-to-noise ratio. A range is drawn from uniformly in its logarithm.

    Raises:
        ValueError: `snr` is not positive and finite.

    Example:
        >>> noisy = WhiteNoise(snr=100)(torch.ones(1, 3501), ms.data.IR, torch.Generator().manual_seed(0))
        >>> round(float(noisy.std()), 3)
        0.01
    """

    def __init__(self, snr: Range = (30.0, 300.0)) -> None:
        self.snr = check_range("snr", snr, low=0, open_low=True)

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Add the noise, to all samples that are known."""
        std = strongest(spectra) / draw(self.snr, spectra, generator, logarithmic=True)
        return spectra + std * normal(tuple(spectra.shape), spectra, generator)


class ShotNoise(GridAugmentation):
    """Shot noise of a detector that counts, s + σ ε with ε ~ N(0, 1) and σ = √(|s| max|s|) / SNR.

    Counts of photons or ions follow Poisson's distribution, whose variance is its mean: n counts have a signal-to-noise
    ratio of √n. `snr` is that of the strongest sample, which therefore has snr² counts, and σ is a fraction √(|s| /
    max|s|) of that at the strongest sample. The distribution is taken as normal, which is right for many counts. It
    fits Raman, fluorescence and mass spectra. σ counts as a constant in the backward pass.

    Args:
        snr: Signal-to-noise ratio of the strongest sample. A range is drawn from uniformly in its logarithm.

    Raises:
        ValueError: `snr` is not positive and finite.

    Example:
        >>> noisy = ShotNoise(snr=100)(torch.ones(1, 3501), ms.data.RAMAN, torch.Generator().manual_seed(0))
        >>> round(float(noisy.std()), 3)
        0.01
    """

    def __init__(self, snr: Range = (30.0, 300.0)) -> None:
        self.snr = check_range("snr", snr, low=0, open_low=True)

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Add the noise, to all samples that are known."""
        std = (spectra.detach().abs() * strongest(spectra)).sqrt() / draw(
            self.snr, spectra, generator, logarithmic=True
        )
        return spectra + std * normal(tuple(spectra.shape), spectra, generator)
