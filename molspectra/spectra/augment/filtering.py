"""Convolution of spectra with line shapes that are given by their Fourier transforms."""

from collections.abc import Callable

import torch
from torch import Tensor

from molspectra.spectra.axis import SpectrumAxis


def convolve(spectra: Tensor, axis: SpectrumAxis, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Convolve spectra with a symmetric kernel of area 1.

    Spectra are mirrored at both ends of the axis, where as much intensity then enters as leaves: the sum of the samples
    stays, and so does a constant. Beside a gap, samples of NaN, the kernel is normalized to the samples that are known.

    Args:
        spectra: Intensities, (B, L).
        axis: Their grid.
        transform: Fourier transform of the kernel, from frequencies in 1 / unit of the axis, (F,), to (B, F) or (F,).
            It is 1 at frequency 0.

    Returns:
        The convolved spectra, (B, L), NaN where they were NaN.
    """
    if spectra.shape[0] == 0:  # the Fourier transform refuses an empty batch
        return spectra.clone()
    gap = spectra.isnan()
    values = torch.stack([spectra.masked_fill(gap, 0.0), gap.to(spectra.dtype)])
    period = torch.cat([values, values.flip(-1)], dim=-1)
    frequency = torch.fft.rfftfreq(period.shape[-1], axis.step, dtype=spectra.dtype, device=spectra.device)
    smooth = torch.fft.irfft(torch.fft.rfft(period) * transform(frequency), n=period.shape[-1])
    intensity, unknown = smooth[..., : axis.length].unbind()
    return (intensity / (1 - unknown).clamp_min(1e-6)).masked_fill(gap, torch.nan)
