"""Units that a file declares, or an argument in their place, and their agreement with the points."""

import re
import warnings
from dataclasses import dataclass

from molspectra._validation import check_choice
from molspectra.data.io.measured_spectrum import MeasuredSpectrum, is_raman
from molspectra.data.io.spectrum_units import BARE, Y_UNITS, position_unit, value_kind
from molspectra.spectra.axis import SpectrumAxis

_LARGEST_ABSORBANCE = 10.0  # spectrometers reach 6 to 8
_MANY = 20  # points
_LARGEST_FRACTION = 1.5  # a spectrum in percent whose largest value is below would be black


@dataclass
class Declared:
    """Unit and kind of a spectrum, as its file names them in a header or in labels.

    Attributes:
        spectrum: Points of the file.
        axis: The axis wanted.
        place: Name of the place where units are declared, for messages.
    """

    spectrum: MeasuredSpectrum
    axis: SpectrumAxis
    place: str

    def x_unit(self, argument: str | None, text: str) -> str:
        """Return the unit of positions, from the argument, the text of the file or, if both are mute, the axis.

        Raises:
            ValueError: the text names several units, a quantity without its unit, or row numbers; or nothing is named,
                and the positions fit another unit.
        """
        unit = self.named_x_unit(argument, text)
        if argument is None and position_unit(text) is None:
            self.spectrum.check_undeclared_positions(self.axis)
        return unit

    def named_x_unit(self, argument: str | None, text: str) -> str:
        """Return the unit of positions likewise, without a look at the positions.

        Raises:
            ValueError: the text names several units, a quantity without its unit, or row numbers.
        """
        if argument is not None:
            return position_unit(argument) or argument
        try:
            unit = position_unit(text)
        except ValueError as error:
            raise ValueError(f"{self.spectrum.path}: {error} Pass x_unit.") from None
        if unit is None:
            self.spectrum.check_no_row_numbers(self.axis)
        self._refuse_raman_shift(text)
        if unit == "row number":
            raise ValueError(
                f"{self.spectrum.path}: x_column must be a column of positions; its {self.place} says {text!r}. Pass "
                "x_column and y_column."
            )
        if unit in BARE and position_unit(self.axis.unit) not in BARE[unit]:
            raise ValueError(
                f"{self.spectrum.path}: the {self.place} must name the unit of {unit}; got {text!r}. Pass x_unit, "
                f"{' or '.join(map(repr, BARE[unit]))}."
            )
        return self.axis.unit if unit is None or unit in BARE else unit

    def _refuse_raman_shift(self, text: str) -> None:
        """Refuse Raman shifts as infrared wavenumbers: both are in cm^-1."""
        if re.search(r"raman", text, re.IGNORECASE) and re.fullmatch(r"ir|infrared", self.axis.name, re.IGNORECASE):
            raise ValueError(
                f"{self.spectrum.path}: the spectrum must be of the kind of the axis {self.axis.name!r}; its "
                f"{self.place} says {text!r}. Pass a Raman axis, such as molspectra.data.RAMAN, or x_unit."
            )

    def y_unit(self, argument: str | None, text: str, min_transmittance: float | None) -> str:
        """Return the kind of intensities, one of `Y_UNITS`, from the argument or the text of the file.

        Raises:
            ValueError: the kind is unknown or contradicts the values, or none is named and values are beyond what
                absorbance can be.
        """
        if argument is not None:
            check_choice("y_unit", argument, Y_UNITS)
            return argument
        kind = value_kind(text)
        if kind == "unconverted":
            raise ValueError(
                f"{self.spectrum.path}: the {self.place} must name absorbance, transmittance or an intensity; got "
                f'{text!r}. Convert the values, or pass y_unit="intensity" to take them as they are.'
            )
        if kind == "absorbance":
            self._refuse_large(f"absorbance, as the {self.place} says ({text!r}), must lie within")
        if kind == "percent_transmittance" and max(self.spectrum.values) <= _LARGEST_FRACTION:
            raise ValueError(
                f"{self.spectrum.path}: values in percent, as the {self.place} says ({text!r}), must exceed "
                f"{_LARGEST_FRACTION:g} somewhere; the largest is {max(self.spectrum.values):g}. Pass "
                'y_unit="transmittance" for fractions, or y_unit="percent_transmittance".'
            )
        return kind or self._undeclared(min_transmittance)

    def _undeclared(self, min_transmittance: float | None) -> str:
        if min_transmittance is not None:
            raise ValueError(
                f"{self.spectrum.path}: the {self.place} must name transmittance for min_transmittance to be used; it "
                'names no kind of values. Pass y_unit, "transmittance" or "percent_transmittance".'
            )
        if self.axis.unit in ("ppm", "m/z") or is_raman(self.axis):
            return "intensity"
        self._refuse_large(f"the {self.place} names no kind of values, and absorbance must lie within")
        low, *_, high = ordered = sorted(self.spectrum.values)
        median = ordered[len(ordered) // 2]
        # Most of a spectrum is empty: near 0 in absorbance, near the upper end in transmittance.
        # A few points have no shape.
        if len(ordered) >= _MANY and 0 <= low < high <= 1.2 and high - median < 0.25 * (high - low):
            problem = (
                f"{self.spectrum.path}: the {self.place} names no kind of values, and they look like transmittance. "
                'Pass y_unit, "transmittance" or "absorbance".'
            )
            if high > 0.8:
                raise ValueError(problem)
            warnings.warn(f"{problem} They are taken for absorbance.", stacklevel=4)
        return "absorbance"

    def _refuse_large(self, problem: str) -> None:
        for point, value in enumerate(self.spectrum.values):
            if abs(value) > _LARGEST_ABSORBANCE:
                self.spectrum.refuse(
                    point,
                    f"{problem} ±{_LARGEST_ABSORBANCE:g}; got {value:g}. Pass "
                    'y_unit: "percent_transmittance", "transmittance", "absorbance" or "intensity".',
                )
