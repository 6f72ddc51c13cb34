"""Points of a measured spectrum, and their conversion to a row of intensities on a `SpectrumAxis`."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor

from molspectra.data.io.spectrum_units import position_unit
from molspectra.data.units import WAVENUMBERS_PER_EV
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.resampling import resample

# Unit → conversion of a position to cm^-1. Each of these functions except that of eV is its own inverse.
_TO_WAVENUMBER: dict[str, Callable[[Tensor], Tensor]] = {
    "cm^-1": lambda x: x,
    "eV": lambda x: x * WAVENUMBERS_PER_EV,
    "nm": lambda x: 1e7 / x,
    "um": lambda x: 1e4 / x,
}
_FROM_WAVENUMBER = {**_TO_WAVENUMBER, "eV": lambda x: x / WAVENUMBERS_PER_EV}

# Parts of an axis, so small that the positions of a file may be in another unit.
_LITTLE, _VERY_LITTLE = 0.25, 0.05
_LARGEST_NUMBER = 1e30  # sums of them stay within the range of float32
_LARGEST_TRANSMITTANCE = 2.0  # a baseline may lie above 1, but not above 2

# A curve has points at even distances, or at distances that change gradually. Peaks have not.
_UNEVEN = 1.5  # ratio of neighboring distances
_GAP = 10.0  # ratio of a distance to both of its neighbors, as where the band of a solvent was cut out
_CENTROID_DISTANCE = 0.3  # m/z. Peaks of singly charged ions are about 1 apart, points of a profile far less


@dataclass
class MeasuredSpectrum:
    """Points of one spectrum, and the lines of the file that they come from."""

    path: Path
    positions: list[float]
    values: list[float]
    lines: list[int]

    def refuse(self, point: int, problem: str) -> None:
        """Raise an error that names the file and the line of a point.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{self.path}, line {self.lines[point]}: {problem}")

    def check_finite(self) -> None:
        """Check that positions and values are numbers that float32 can hold.

        Raises:
            ValueError: a point is not finite, or too large.
        """
        for point, (position, value) in enumerate(zip(self.positions, self.values, strict=True)):
            if not (math.isfinite(position) and math.isfinite(value)):
                self.refuse(
                    point,
                    f"position and value must be finite; got {position:g} and {value:g}. Drop or repair the line.",
                )
            if max(abs(position), abs(value)) > _LARGEST_NUMBER:
                self.refuse(
                    point,
                    f"position and value must be within ±{_LARGEST_NUMBER:g}, for float32; got {position:g} and "
                    f"{value:g}. Repair the line.",
                )

    def check(self) -> None:
        """Check that the points are a function of position.

        Raises:
            ValueError: a point is not finite, positions are neither ascending nor descending, or fewer than two points
                are given.
        """
        x = self.positions
        if len(x) < 2:
            raise ValueError(f"{self.path} must hold at least two points of a spectrum; found {len(x)}.")
        self.check_finite()
        ascending = x[1] > x[0]
        for point in range(1, len(x)):
            if x[point] == x[point - 1]:
                self.refuse(
                    point,
                    f"the position {x[point]:g} is there twice, first in line {self.lines[point - 1]}. Merge the two.",
                )
            if (x[point] > x[point - 1]) != ascending:
                self.refuse(
                    point,
                    f"positions must be all ascending or all descending; {x[point]:g} follows {x[point - 1]:g}. Sort "
                    "the lines; if the file holds several spectra, one after the other, split it.",
                )

    def check_undeclared_positions(self, axis: SpectrumAxis) -> None:
        """Check that positions whose unit is not stated can be in the unit of the axis.

        Raises:
            ValueError: they are beyond the axis, or nearly so, and fit it in another unit.
        """
        covered, inside = self._coverage(axis.unit, axis)
        other = self._fitting_unit(axis, axis.unit, by_range=inside < 1)
        if covered == 0 or (covered < _LITTLE and other is not None):
            self._refuse_beyond(axis.unit, axis, other)
        if covered < _VERY_LITTLE or (covered < _LITTLE and inside < 0.75):
            warnings.warn(
                f"{self.path} names no unit of positions, and its range of {self._range()} covers {covered:.0%} of the "
                f"axis {axis.name!r}, {axis.start:g} to {axis.stop:g} {axis.unit}. Pass x_unit.",
                stacklevel=4,
            )

    def check_no_row_numbers(self, axis: SpectrumAxis) -> None:
        """Check that positions whose unit is not stated are no numbers of rows, 0, 1, 2, … or 1, 2, 3, ….

        Raises:
            ValueError: they are, and the axis is another count.
        """
        x, count = self.positions, len(self.positions)
        if count < 3 or x[0] not in (0.0, 1.0) or x != [x[0] + row for row in range(count)]:
            return
        if axis.step != 1 or (x[0], x[-1]) != (axis.start, axis.stop):
            raise ValueError(
                f"{self.path} must have a column of positions; the numbers {x[0]:g}, {x[1]:g}, {x[2]:g}, … to "
                f"{x[-1]:g} look like those of rows. Pass x_column and y_column, or x_unit to take them for positions."
            )

    def check_possible(self, x_unit: str, axis: SpectrumAxis) -> None:
        """Check that positions are not negative, where that is impossible, nor absolute where shifts are wanted.

        Raises:
            ValueError: one is, or they are wavelengths or energies in place of Raman shifts.
        """
        if is_raman(axis) and x_unit in _TO_WAVENUMBER and x_unit != "cm^-1":
            raise ValueError(
                f"{self.path}: Raman shifts are differences from the wavenumber of the laser; got positions in "
                f"{x_unit}. Convert them: (1 / λ_laser - 1 / λ), in {axis.unit}."
            )
        if x_unit in ("nm", "um", "eV", "m/z") or (x_unit == "cm^-1" and not is_raman(axis)):
            x = torch.tensor(self.positions, dtype=torch.float64)
            self._refuse_where(x < 0, f"positions in {x_unit} must not be negative: drop or repair the line. Got", x)

    def check_peaks_on_axis(self, beyond: Tensor, x_unit: str, axis: SpectrumAxis, raises: bool) -> None:
        """Check that there are peaks, and that they lie on an axis.

        Args:
            beyond: True for peaks beyond the axis, (K,).
            x_unit: Unit of the positions.
            axis: The axis.
            raises: Refuse a single peak beyond the axis, not only all of them.

        Raises:
            ValueError: there are none, or a peak or all of them lie beyond.
        """
        if not self.positions:
            raise ValueError(f"{self.path} must hold at least one peak; found none.")
        if bool(beyond.all()):
            self._refuse_beyond(x_unit, axis, self._fitting_unit(axis, x_unit))
        if raises and bool(beyond.any()):
            point = int(beyond.nonzero()[0])
            self.refuse(
                point,
                f"peaks must lie on the axis {axis.name!r}, {axis.start:g} to {axis.stop:g} {axis.unit}; got one at "
                f'{self.positions[point]:g} {x_unit}. Pass outside="cut" to leave such peaks out, or a longer axis.',
            )

    def on_axis(
        self,
        axis: SpectrumAxis,
        x_unit: str,
        y_unit: str,
        min_transmittance: float | None = None,
        outside: str = "nan",
        conserve_area: bool = False,
    ) -> Float32[Tensor, "1 length"]:
        """Resample absorbances or intensities of checked points to an axis.

        Args:
            axis: The axis wanted.
            x_unit: Unit of the positions.
            y_unit: One of `Y_UNITS`.
            min_transmittance: Raise transmittances below this fraction to it.
            outside: Value beyond the measured range, and in gaps ten times as wide as the distances of points beside
                them. See :func:`molspectra.data.resample`.
            conserve_area: Average over the bins of the axis. See there, too.

        Returns:
            (1, L).

        Raises:
            ValueError: a unit cannot be converted, the points are a list of peaks or beyond the axis, or one is
                impossible. The message names its line.
        """
        self.check_possible(x_unit, axis)
        positions = self.converted(x_unit, axis)
        self._refuse_peaks(x_unit, positions, axis)
        values = torch.tensor(self.values, dtype=torch.float64)
        if "transmittance" in y_unit:
            values = self._absorbance(values, y_unit, min_transmittance)
        if self._coverage(x_unit, axis)[0] == 0:
            self._refuse_beyond(x_unit, axis, self._fitting_unit(axis, x_unit))
        gaps = self._gaps(positions, outside)
        # A value of NaN in the middle of a gap makes it one, to its ends.
        values = _insert(values, torch.full_like(values[gaps], torch.nan), gaps)
        positions = _insert(positions, (positions[gaps] + positions[gaps + 1]) / 2, gaps)
        row = resample(values.unsqueeze(0), positions, axis, outside, conserve_area)
        if outside == "zero":
            row = row.nan_to_num(0.0)
        return row.to(torch.float32)

    def _gaps(self, positions: Tensor, outside: str) -> Tensor:
        """Find the points before gaps, which nobody measured and no line connects."""
        distance = positions.diff().abs()
        beside = torch.nn.functional.pad(distance, (1, 1))
        gaps = (distance > _GAP * torch.maximum(beside[:-2], beside[2:])).nonzero()[:, 0]
        if len(distance) < 3:
            return gaps[:0]
        if outside == "raise" and len(gaps):
            point = int(gaps[0]) + 1
            self.refuse(
                point,
                f"there must be no gap between points; got none from {self.positions[point - 1]:g} to "
                f'{self.positions[point]:g}. Pass outside="nan" or outside="zero".',
            )
        return gaps

    def converted(self, x_unit: str, axis: SpectrumAxis) -> Tensor:
        """Convert the positions to the unit of an axis, (K,) float64.

        Raises:
            ValueError: the unit cannot be converted, or a position has no counterpart.
        """
        positions = torch.tensor(self.positions, dtype=torch.float64)
        unit = position_unit(axis.unit) or axis.unit
        if x_unit in (unit, axis.unit):
            return positions
        if x_unit not in _TO_WAVENUMBER or unit not in _FROM_WAVENUMBER:
            raise ValueError(
                f"{self.path}: x_unit must be the unit of the axis ({axis.unit!r} of {axis.name!r}), or both must be "
                f"among {list(_TO_WAVENUMBER)}, which are converted; got {x_unit!r}."
            )
        self._refuse_where(
            positions <= 0, f"positions in {x_unit} must be positive to be converted to {axis.unit}; got", positions
        )
        return _FROM_WAVENUMBER[unit](_TO_WAVENUMBER[x_unit](positions))

    def _refuse_peaks(self, x_unit: str, positions: Tensor, axis: SpectrumAxis) -> None:
        """Refuse points that are peaks: between them the spectrum is empty, and must not be interpolated."""
        distance = torch.tensor(self.positions, dtype=torch.float64).diff().abs()
        if len(distance) == 0:
            return
        ratio = distance[1:] / distance[:-1]
        uneven = (ratio > _UNEVEN) | (ratio < 1 / _UNEVEN)
        mean_distance = float(positions[-1] - positions[0]) / len(distance)
        peaks = len(ratio) > 0 and abs(mean_distance) > axis.step and float(uneven.double().mean()) > 1 / 3
        if x_unit == "m/z" and float(distance.median()) > _CENTROID_DISTANCE:
            peaks = len(ratio) == 0 or float(distance.max()) > min(
                _UNEVEN * float(distance.min()), _UNEVEN * max(axis.step, 1.0)
            )
        if peaks:
            raise ValueError(
                f"{self.path} must hold a curve to be interpolated; its {len(self.positions)} positions from "
                f"{self._range()} are {float(distance.min()):g} to {float(distance.max()):g} apart, as peaks are. Read "
                "them with molspectra.data.read_peak_list, or fill the gaps of a curve."
            )

    def _coverage(self, x_unit: str, axis: SpectrumAxis) -> tuple[float, float]:
        """Return the part of the axis that the file covers in this unit, and the part of its range that is on it."""
        ends = MeasuredSpectrum(self.path, [min(self.positions), max(self.positions)], [], self.lines)
        low, high = sorted(ends.converted(x_unit, axis).tolist())
        samples = (axis.grid >= low - 1e-3 * axis.step) & (axis.grid <= high + 1e-3 * axis.step)
        overlap = max(0.0, min(high, axis.stop) - max(low, axis.start))
        return float(samples.double().mean()), overlap / max(high - low, 1e-300)

    def _fitting_unit(self, axis: SpectrumAxis, x_unit: str, by_range: bool = False) -> str | None:
        """Return the unit other than this that would lay the file over most of the axis.

        Args:
            axis: The axis.
            x_unit: The unit that is left out.
            by_range: Count a unit, too, that would lay most of the file on the axis.
        """
        if min(self.positions) <= 0 or position_unit(axis.unit) not in _FROM_WAVENUMBER:
            return None
        fits = {
            unit: max(self._coverage(unit, axis)[: 1 + by_range])
            for unit in _TO_WAVENUMBER
            if unit != position_unit(x_unit)
        }
        unit = max(fits, key=lambda unit: fits[unit])
        return unit if fits[unit] > 0.75 else None

    def _refuse_beyond(self, x_unit: str, axis: SpectrumAxis, other: str | None) -> None:
        advice = f"did you mean x_unit={other!r}?" if other else "pass x_unit, or another axis."
        raise ValueError(
            f"{self.path} must overlap with the axis {axis.name!r}: the file spans {self._range()} {x_unit}, the axis "
            f"{axis.start:g} to {axis.stop:g} {axis.unit}; {advice}"
        )

    def _range(self) -> str:
        return f"{min(self.positions):g} to {max(self.positions):g}"

    def _absorbance(self, values: Tensor, y_unit: str, min_transmittance: float | None) -> Tensor:
        """Convert transmittance to absorbance, A = -log10 T."""
        scale = 100.0 if y_unit == "percent_transmittance" else 1.0
        if min_transmittance is not None:
            if not 0 < min_transmittance < 1:
                raise ValueError(f"min_transmittance must lie between 0 and 1, a fraction; got {min_transmittance}.")
            values = values.clamp(min=min_transmittance * scale)
        self._refuse_where(
            values > _LARGEST_TRANSMITTANCE * scale,
            f"values in {y_unit} must not exceed {_LARGEST_TRANSMITTANCE * scale:g}: pass "
            'y_unit="percent_transmittance" for percents, or y_unit="absorbance" or "intensity". Got',
            values,
        )
        self._refuse_where(
            values <= 0,
            f"values in {y_unit} must be positive, as absorbance is their logarithm; pass min_transmittance (1e-3, "
            "say) to raise what a saturated detector has left there. Got",
            values,
        )
        return -torch.log10(values / scale)

    def _refuse_where(self, wrong: Tensor, problem: str, values: Sequence[float] | Tensor) -> None:
        if bool(wrong.any()):
            point = int(wrong.nonzero()[0])
            self.refuse(point, f"{problem} {float(values[point]):g}.")


def is_raman(axis: SpectrumAxis) -> bool:
    """Return True for an axis of Raman shifts."""
    return "raman" in axis.name.lower()


def _insert(values: Tensor, new: Tensor, after: Tensor) -> Tensor:
    """Insert values after some places."""
    places = torch.cat([torch.arange(len(values), dtype=torch.float64), after + 0.5])
    return torch.cat([values, new])[places.argsort()]
