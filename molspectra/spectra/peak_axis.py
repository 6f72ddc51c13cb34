"""Axes of spectra that are lists of peaks: mass spectra, NMR shifts, cross peaks of two nuclei, calculated sticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from molspectra._plain import as_plain
from molspectra._validation import check_arguments, check_choice

# Steps that a mass analyzer and a shift axis can tell apart, as part of the highest mass and of the range.
_MASS_RESOLUTION, _RESOLUTION = 5e-7, 1 / 4096


@dataclass(frozen=True)
class PeakAxis:
    """Axis of one kind of spectrum that comes as peaks, with d positions and an intensity each.

    Peaks are a tensor (B, K, d + 1), or a field (1, K, d + 1) of a molecule: positions, then the intensity. Rows of NaN
    pad shorter lists, and a list of NaN alone is a missing spectrum. Peaks may stand in any order. Where intensities
    are not known, set them to 1.

    =====================  =======================  ================================================================
    kind                   positions                example
    =====================  =======================  ================================================================
    MS/MS                  m/z                      `PeakAxis("ms_ms", "m/z", (0, 1000), precursor="precursor_mz")`
    13C NMR                shift                    `PeakAxis("c_nmr", "ppm", (-20, 240))`
    1H NMR, multiplicity   shift                    `PeakAxis("h_nmr", "ppm", (-2, 14), labels=["s", "d", "t", "m"])`
    HSQC                   shifts of 13C and of 1H  `PeakAxis("hsqc", "ppm", [(-20, 240), (-2, 14)])`
    IR, Raman, sticks      wavenumber               `PeakAxis("ir_sticks", "cm^-1", (0, 4500))`
    =====================  =======================  ================================================================

    Args:
        name: Kind of spectrum, the name of its field on a molecule.
        unit: Unit of the positions, or one for each.
        ranges: Lowest and highest position, (low, high), or such a pair for each of the d positions.
        resolution: Smallest difference of positions that matters, or one for each, in `unit`. By default half a part
            per million of the highest m/z, and a 4096th of the range of other positions.
        max_peaks: Largest number of peaks of a spectrum, or None for any number.
        excess: "raise" to refuse spectra of more peaks, "strongest" to keep those of the largest |intensity|.
        labels: Classes of peaks, such as multiplicities. Peaks may then have one more column with the number of the
            class, counted from 0, NaN where it is not known.
        precursor: Name of the field with the m/z of the fragmented ion, (B, 1), NaN where it is not known.
        neutral_losses: Give each peak of a known precursor a second token, at the mass that the precursor has lost.

    Raises:
        TypeError: `unit`, `ranges` or `resolution` are of another form.
        ValueError: a range does not ascend, m/z is negative, the numbers of units, ranges and resolutions differ, or
            another argument has no such value.

    Example:
        >>> axis = PeakAxis("hsqc", "ppm", [(-20, 240), (-2, 14)])
        >>> axis.num_positions, axis.units
        (2, ('ppm', 'ppm'))
    """

    name: str
    unit: str | Sequence[str]
    ranges: Any  # Sequence[float] | Sequence[Sequence[float]], also as arrays
    resolution: float | Sequence[float] | None = None
    max_peaks: int | None = None
    excess: str = "raise"
    labels: Sequence[str] = ()
    precursor: str | None = None
    neutral_losses: bool = True

    def __post_init__(self) -> None:
        check_arguments(type(self), vars(self), type(self).__name__)
        ranges = self._checked_ranges(as_plain(self.ranges, arrays=True))
        units = self._for_each_position("unit", self.unit, (str,), len(ranges))
        resolution = self.resolution
        if resolution is None:
            spans = zip(ranges, units, strict=True)
            resolution = tuple(
                _MASS_RESOLUTION * high if unit == "m/z" else _RESOLUTION * (high - low) for (low, high), unit in spans
            )
        resolutions = self._for_each_position("resolution", resolution, (int, float), len(ranges))
        for (low, high), unit, resolution in zip(ranges, units, resolutions, strict=True):
            if unit == "m/z" and low < 0:
                raise ValueError(f"ranges of {self.name!r} must not be negative in m/z; got {low:g} to {high:g}.")
            # 2^-40 of the range is beyond what 32-bit and most 64-bit positions can show.
            if not (high - low) * 2**-40 < resolution < high - low:
                raise ValueError(
                    f"resolution of {self.name!r} must be positive and less than the range {low:g} to {high:g} {unit}; "
                    f"got {resolution:g}."
                )
        object.__setattr__(self, "max_peaks", as_plain(self.max_peaks))
        if self.max_peaks is not None and (not isinstance(self.max_peaks, int) or self.max_peaks < 1):
            raise ValueError(f"max_peaks of {self.name!r} must be at least 1, or None; got {self.max_peaks!r}.")
        check_choice(f"excess of {self.name!r}", self.excess, ("raise", "strongest"))
        if self.precursor is not None and units != ("m/z",):
            raise ValueError(f"precursor of {self.name!r} needs one position in m/z; the unit is {self.unit!r}.")
        if isinstance(self.labels, str) or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels of {self.name!r} must be a list of different names; got {self.labels!r}.")
        # Lists and tuples of equal values make equal axes, before and after they were saved.
        for field, value in (("ranges", ranges), ("labels", tuple(self.labels))):
            object.__setattr__(self, field, value)
        for field, values in (("unit", units), ("resolution", resolutions)):
            object.__setattr__(self, field, values[0] if len(values) == 1 else values)

    @property
    def num_positions(self) -> int:
        """Number of positions d of a peak."""
        return len(self.ranges)

    @property
    def num_columns(self) -> int:
        """Largest number of columns of the peaks: positions, intensity, and the class if there are labels."""
        return self.num_positions + 1 + bool(self.labels)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each position."""
        return (self.unit,) if isinstance(self.unit, str) else tuple(self.unit)

    @property
    def resolutions(self) -> tuple[float, ...]:
        """Smallest difference that matters of each position, in its unit."""
        resolution = self.resolution
        return (resolution,) if isinstance(resolution, int | float) else tuple(resolution or ())

    def _checked_ranges(self, ranges: object) -> tuple[tuple[float, float], ...]:
        """Return a pair of floats for each position.

        Raises:
            TypeError: the ranges are no pairs of numbers.
            ValueError: a range does not ascend.
        """
        listed = list(ranges) if isinstance(ranges, list | tuple) else []
        if len(listed) == 2 and all(isinstance(end, int | float) for end in listed):
            listed = [listed]
        is_pair = [isinstance(pair, list | tuple) and len(pair) == 2 for pair in listed]
        if not listed or not all(is_pair) or not all(isinstance(end, int | float) for pair in listed for end in pair):
            raise TypeError(
                f"ranges of {self.name!r} must be (low, high), or a list of such pairs for peaks of several positions; "
                f"got {ranges!r}."
            )
        checked = tuple((float(low), float(high)) for low, high in listed)
        for low, high in checked:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"ranges of {self.name!r} must be finite and ascend; got {low:g} to {high:g}.")
        return checked

    def _for_each_position(self, field: str, value: Any, types: tuple[type, ...], number: int) -> tuple[Any, ...]:
        """Return one value for each position.

        Raises:
            TypeError: a value is of another type.
            ValueError: the number of values is another one.
        """
        value = as_plain(value, arrays=True)
        values = tuple(value) if isinstance(value, list | tuple) else (value,) * number
        if not all(isinstance(one, types) and not isinstance(one, bool) for one in values):
            raise TypeError(f"{field} of {self.name!r} must be one value, or one for each position; got {value!r}.")
        if len(values) != number:
            raise ValueError(
                f"{field} of {self.name!r} must have as many values as ranges, {number}; got {len(values)}: {value!r}."
            )
        return values


def check_peak_axis(name: str, axis: object) -> None:
    """Refuse what is no axis of peaks.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(axis, PeakAxis):
        raise TypeError(
            f"{name} must be a PeakAxis; got {axis!r:.80}. Pass molspectra.data.PeakAxis(name, unit, (low, high))."
        )
