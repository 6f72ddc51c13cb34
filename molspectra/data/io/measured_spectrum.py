"""Points of a measured spectrum, and their conversion to a row of intensities on a `SpectrumAxis`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor

from molspectra._validation import check_choice
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

Y_UNITS = ("absorbance", "transmittance", "percent_transmittance", "intensity")
"""Quantities that the values of a measured spectrum can be."""
_LARGEST_TRANSMITTANCE = 2.0  # a baseline may lie above 1, but not above 2


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

    def check(self) -> None:
        """Check that the points are a function of position.

        Raises:
            ValueError: a point is not finite, positions are neither ascending nor descending, or fewer than two points
                are given.
        """
        x = self.positions
        if len(x) < 2:
            raise ValueError(f"{self.path} must hold at least two points of a spectrum; found {len(x)}.")
        for point, (position, value) in enumerate(zip(x, self.values, strict=True)):
            if not (math.isfinite(position) and math.isfinite(value)):
                self.refuse(
                    point,
                    f"position and value must be finite; got {position:g} and {value:g}. Drop or repair the line.",
                )
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

    def on_axis(
        self,
        axis: SpectrumAxis,
        x_unit: str,
        y_unit: str,
        min_transmittance: float | None = None,
        outside: str = "zero",
        conserve_area: bool = False,
    ) -> Float32[Tensor, "1 length"]:
        """Resample absorbances or intensities to an axis.

        Args:
            axis: The axis wanted.
            x_unit: Unit of the positions.
            y_unit: One of `Y_UNITS`.
            min_transmittance: Raise transmittances below this fraction to it.
            outside: Value beyond the measured range. See :func:`molspectra.data.resample`.
            conserve_area: Average over the bins of the axis. See there, too.

        Returns:
            (1, L).

        Raises:
            ValueError: a unit is unknown or cannot be converted, or a point is impossible. The message names its line.
        """
        check_choice("y_unit", y_unit, Y_UNITS)
        self.check()
        positions = self._converted(x_unit, axis)
        values = torch.tensor(self.values, dtype=torch.float64)
        if "transmittance" in y_unit:
            values = self._absorbance(values, y_unit, min_transmittance)
        row = resample(values.unsqueeze(0), positions, axis, outside, conserve_area)
        return row.to(torch.float32)

    def _converted(self, x_unit: str, axis: SpectrumAxis) -> Tensor:
        positions = torch.tensor(self.positions, dtype=torch.float64)
        if x_unit == axis.unit:
            return positions
        if x_unit not in _TO_WAVENUMBER or axis.unit not in _FROM_WAVENUMBER:
            raise ValueError(
                f"x_unit must be the unit of the axis ({axis.unit!r} of {axis.name!r}), or both must be among "
                f"{list(_TO_WAVENUMBER)}, which are converted; got {x_unit!r}."
            )
        self._refuse_where(
            positions <= 0, f"positions in {x_unit} must be positive to be converted to {axis.unit}; got", positions
        )
        return _FROM_WAVENUMBER[axis.unit](_TO_WAVENUMBER[x_unit](positions))

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
