"""Errors of measured masses."""

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import PeakAugmentation
from molspectra.spectra.augment.ranges import Range, check_range, draw, normal
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis


class MassJitter(PeakAugmentation):
    """Error of the mass-to-charge ratio, m/z (1 + 10⁻⁶ (c + σ ε)) with ε ~ N(0, 1) for each peak.

    Mass analyzers err in proportion to m/z: σ describes the statistics of single peaks and c a calibration that has
    drifted, which moves a whole spectrum. An Orbitrap has 1 to 5 ppm, and a time-of-flight analyzer 5 to 20 ppm.

    In float32 a mass of 500 has steps of 0.06 ppm.

    Args:
        ppm: Standard deviation σ in parts per million.
        calibration: Common error c in parts per million, of either sign.

    Raises:
        ValueError: `ppm` is negative, or a value is not finite.

    Example:
        >>> peaks = torch.tensor([[[100.0, 1.0], [500.0, 9.0]]], dtype=torch.float64)
        >>> MassJitter(ppm=0.0, calibration=10.0)(peaks)[0, :, 0].tolist()
        [100.001, 500.005]
    """

    def __init__(self, ppm: Range = (0.0, 5.0), calibration: Range = 0.0) -> None:
        self.ppm = check_range("ppm", ppm, "parts per million", low=0)
        self.calibration = check_range("calibration", calibration, "parts per million")

    def apply(self, peaks: Tensor, axis: SpectrumAxis | PeakAxis | None, generator: torch.Generator | None) -> Tensor:
        """Move the peaks."""
        mass, intensity = peaks.unbind(-1)
        error = draw(self.ppm, peaks, generator) * normal(tuple(mass.shape), peaks, generator)
        error = error + draw(self.calibration, peaks, generator)
        return torch.stack([mass + mass * (1e-6 * error), intensity], dim=-1)
