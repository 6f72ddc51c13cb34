"""Sticks that are broadened anew, with a random width."""

import torch
from torch import Tensor

from molspectra._validation import check_choice
from molspectra.spectra.augment.augmentation import PeakAugmentation
from molspectra.spectra.augment.ranges import Range, check_range, draw
from molspectra.spectra.axis import SpectrumAxis, check_axis
from molspectra.spectra.broadening import broaden
from molspectra.spectra.peak_axis import PeakAxis


class BroadenSticks(PeakAugmentation):
    """Broadening of calculated lines, sticks (B, K, 2), to spectra (B, L), with another width in each spectrum.

    Line widths are a convention of computed spectra. Sticks broadened anew in every epoch teach a model positions and
    areas. Lines have the area of their sticks (:func:`molspectra.data.broaden`), memory is bounded, and the spectra are
    differentiable in positions and intensities.

    Args:
        fwhm: Full width at half maximum, in the unit of the axis, drawn for each spectrum.
        shape: "lorentzian" or "gaussian".

    Raises:
        ValueError: `fwhm` is not positive, or `shape` is unknown. When called: `fwhm` is less than the step of the
            axis, so that samples cannot show the lines.

    Example:
        >>> sticks = torch.tensor([[[1000.0, 5.0], [3000.0, 1.0]], [[1700.0, 9.0], [torch.nan, torch.nan]]])
        >>> BroadenSticks(fwhm=(8, 30))(sticks, ms.data.IR, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3501])
    """

    def __init__(self, fwhm: Range, shape: str = "lorentzian") -> None:
        self.fwhm = check_range("fwhm", fwhm, "unit of the axis", low=0, open_low=True)
        check_choice("shape", shape, ("gaussian", "lorentzian"))
        self.shape = shape

    def apply(self, peaks: Tensor, axis: SpectrumAxis | PeakAxis | None, generator: torch.Generator | None) -> Tensor:
        """Return the spectra, (B, L)."""
        check_axis("axis", axis)
        assert isinstance(axis, SpectrumAxis)
        if self.fwhm[0] < axis.step:
            raise ValueError(
                f"fwhm must be at least the step of the axis {axis.name!r}, {axis.step:g} {axis.unit}; got "
                f"{self.fwhm[0]:g}. Take wider lines or a finer axis."
            )
        batch, sticks = peaks.shape[:2]
        absent = peaks.isnan().any(dim=-1)
        positions, intensities = peaks.masked_fill(absent[..., None], 0.0).flatten(0, 1).unbind(-1)
        spectrum_of = torch.arange(batch, device=peaks.device).repeat_interleave(sticks, output_size=batch * sticks)
        fwhm = draw(self.fwhm, peaks, generator).expand(batch, sticks).flatten()
        spectra = broaden(positions, intensities, axis, fwhm, self.shape, spectrum_of, batch)
        return spectra.masked_fill(absent.all(dim=1, keepdim=True), torch.nan)
