"""Lines of water vapor and carbon dioxide in the beam."""

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import GridAugmentation, strongest
from molspectra.spectra.augment.gas_lines import gas_template
from molspectra.spectra.augment.ranges import Range, check_range, draw
from molspectra.spectra.axis import SpectrumAxis


class AtmosphericLines(GridAugmentation):
    """Infrared lines of water vapor and carbon dioxide in the beam of the spectrometer.

    The air in the instrument changes between the sample's spectrum and the reference, so that lines remain, upward or
    downward: water at 1400 to 1900 and 3500 to 3950 cm^-1, CO₂ at 2349 (branches P and R) and 667 cm^-1. Positions come
    from rotational constants: CO₂ is right to 0.5 cm^-1. Water, taken as a rigid rotor, is right to 1 cm^-1 in its
    strong lines.

    Args:
        water: Height of the strongest water line, as part of the largest |s|, of either sign. On an axis without this
            line the others keep their proportion to it.
        carbon_dioxide: Height of the strongest CO₂ line, likewise.
        fwhm: Width of the lines in cm^-1, which is the resolution of the instrument, as lines in air are narrower.

    Raises:
        ValueError: a value is not finite, or `fwhm` is not positive. When called: the axis is not in cm^-1, or `fwhm`
            is less than its step.

    Example:
        >>> air = AtmosphericLines(water=0.0, carbon_dioxide=0.1)(torch.ones(1, 3501), ms.data.IR)
        >>> 2300 < float(ms.data.IR.grid[air.argmax()]) < 2400, round(float(air.max()), 1)
        (True, 1.1)
    """

    def __init__(self, water: Range = (-0.05, 0.05), carbon_dioxide: Range = (-0.05, 0.05), fwhm: float = 4.0) -> None:
        self.water = check_range("water", water)
        self.carbon_dioxide = check_range("carbon_dioxide", carbon_dioxide)
        self.fwhm = check_range("fwhm", fwhm, "cm^-1", low=0, open_low=True)[0]

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Add the lines, to all samples that are known."""
        if axis.unit.lower().replace("⁻¹", "^-1") not in ("cm^-1", "cm-1", "1/cm"):
            raise ValueError(f"AtmosphericLines needs an axis in cm^-1; got {axis.name!r} in {axis.unit}.")
        if self.fwhm < axis.step:
            raise ValueError(
                f"fwhm must be at least the step of the axis {axis.name!r}, {axis.step:g} cm^-1; got {self.fwhm:g}. "
                "Samples cannot show narrower lines."
            )
        largest = strongest(spectra)
        for gas, amount in (("water", self.water), ("carbon_dioxide", self.carbon_dioxide)):
            template = gas_template(gas, axis.start, axis.step, axis.length, self.fwhm, spectra.dtype, spectra.device)
            spectra = spectra + draw(amount, spectra, generator) * largest * template
        return spectra
