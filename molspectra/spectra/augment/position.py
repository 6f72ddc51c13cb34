"""Shifts and scale factors of the positions of bands."""

import torch
from torch import Tensor

from molspectra._validation import check_choice
from molspectra.spectra.augment.augmentation import GridAugmentation
from molspectra.spectra.augment.ranges import Range, check_range, draw
from molspectra.spectra.axis import SpectrumAxis

OUTSIDE = ("edge", "nan")
"""Treatments of samples that come from beyond the axis."""


class Shift(GridAugmentation):
    """Shift of all bands by one distance, s(x - d), by linear interpolation.

    Calibration errors of a spectrometer and shifts by a solvent move all bands of a region alike. The area stays, but
    for what leaves the axis. Interpolation errs by up to step² max|s''| / 8.

    Args:
        distance: Shift d in the unit of the axis, positive towards larger values.
        outside: "edge" continues the intensity at the end of the axis, "nan" marks these samples as unknown.

    Raises:
        ValueError: `distance` is not finite, or `outside` is unknown.

    Example:
        >>> spectrum = torch.eye(3501)[1000:1001]  # one line at 1500 cm^-1
        >>> float(ms.data.IR.grid[Shift(10.0)(spectrum, ms.data.IR).argmax()])
        1510.0
    """

    def __init__(self, distance: Range, outside: str = "edge") -> None:
        self.distance = check_range("distance", distance, "unit of the axis")
        check_choice("outside", outside, OUTSIDE)
        self.outside = outside

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Read every sample at its place before the shift."""
        steps = draw(self.distance, spectra, generator) / axis.step
        return _read(spectra, (-steps).expand(spectra.shape), self.outside)


class ScaleFactor(GridAugmentation):
    """Scaling of the positions of all bands by one factor, s(x / f) / f, by linear interpolation.

    Harmonic frequencies computed by density functional theory are 2 to 5 % higher than those measured, since bonds are
    anharmonic and the functional is approximate. Recommended scale factors lie between 0.95 and 0.99 (A. P. Scott and
    L. Radom, J. Phys. Chem. 100, 16502 (1996)). The area of each band
    stays: widths grow by f and heights shrink by f.

    Args:
        factor: Scale factor f.
        outside: "edge" continues the intensity at the end of the axis, "nan" marks these samples as unknown.

    Raises:
        ValueError: `factor` is not positive and finite, or `outside` is unknown.

    Example:
        >>> spectrum = torch.eye(3501)[2500:2501]  # one line at 3000 cm^-1
        >>> float(ms.data.IR.grid[ScaleFactor(0.96)(spectrum, ms.data.IR).argmax()])
        2880.0
    """

    def __init__(self, factor: Range = (0.95, 1.0), outside: str = "edge") -> None:
        self.factor = check_range("factor", factor, low=0, open_low=True)
        check_choice("outside", outside, OUTSIDE)
        self.outside = outside

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Read every sample at its place before the scaling."""
        factor = draw(self.factor, spectra, generator)
        samples = torch.arange(axis.length, dtype=spectra.dtype, device=spectra.device)
        # x / f - x in steps, which float32 holds to 1e-5 of a step, where x / f itself loses 1e-3.
        displacement = (samples + axis.start / axis.step) * ((1 - factor) / factor)
        return _read(spectra, displacement, self.outside) / factor


def _read(spectra: Tensor, displacement: Tensor, outside: str) -> Tensor:
    """Return the intensities some steps beside each sample, (B, L), interpolated linearly.

    A sample between a known and an unknown one is unknown.
    """
    length = spectra.shape[1]
    whole = displacement.floor()
    fraction = displacement - whole
    low = torch.arange(length, device=spectra.device) + whole.long()
    left = spectra.gather(1, low.clamp(0, length - 1))
    right = spectra.gather(1, (low + 1).clamp(0, length - 1))
    # At a sample itself, the neighbor may be unknown.
    moved = torch.where(fraction == 0, left, torch.lerp(left, right, fraction))
    if outside == "nan":
        moved = moved.masked_fill((low < 0) | (low + (fraction > 0) > length - 1), torch.nan)
    return moved
