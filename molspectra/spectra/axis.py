"""Grids that spectra are sampled on."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._validation import check_arguments


@dataclass(frozen=True)
class SpectrumAxis:
    """Uniform grid of one kind of spectrum: start, start + step, …, stop, both ends included.

    Args:
        name: Kind of spectrum, the name of its field on a molecule ("uv_vis", "ir", …).
        start: First sample, in `unit`.
        stop: Last sample, in `unit`.
        step: Distance of neighboring samples, in `unit`. It divides stop - start.
        unit: Unit of the axis, such as "eV" or "cm^-1".

    Raises:
        ValueError: an end or the step is not finite, step ≤ 0, stop ≤ start, or the step does not divide the range
            (to 1e-6 of a step).

    Example:
        >>> SpectrumAxis("nmr_h", start=0, stop=12, step=0.5, unit="ppm").length
        25
    """

    name: str
    start: float
    stop: float
    step: float
    unit: str

    def __post_init__(self) -> None:
        check_arguments(type(self), vars(self), type(self).__name__)
        for field in ("start", "stop", "step"):
            value = float(getattr(self, field))
            if not math.isfinite(value):
                raise ValueError(f"{field} of axis {self.name!r} must be finite; got {value}.")
            object.__setattr__(self, field, value)  # 500 and 500.0 print alike and are saved alike
        if self.step <= 0:
            raise ValueError(f"step of axis {self.name!r} must be positive; got {self.step}.")
        if self.stop <= self.start:
            raise ValueError(
                f"stop of axis {self.name!r} must be greater than start; got {self.start} to {self.stop}. Axes ascend: "
                "molspectra.data.resample accepts spectra on a descending grid."
            )
        # To a tolerance: 0.02 has no exact binary form, and (13.5 - 1.5) / 0.02 is not exactly 600.
        steps = (self.stop - self.start) / self.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"step of axis {self.name!r} must divide stop - start; got {self.stop - self.start:g} / {self.step:g} "
                f"= {steps:.6f} steps. Use stop={self.start + math.floor(steps) * self.step:g}, the last sample."
            )

    @property
    def length(self) -> int:
        """Number of samples L."""
        return round((self.stop - self.start) / self.step) + 1

    @property
    def grid(self) -> Float[Tensor, " length"]:
        """Positions of the samples in `unit`, (L,) float64, ascending, on the CPU."""
        # Not arange, which may add or drop the last sample by rounding.
        return torch.linspace(self.start, self.stop, self.length, dtype=torch.float64, device="cpu")


UV_VIS = SpectrumAxis("uv_vis", 1.5, 13.5, 0.02, "eV")
"""UV-Vis of the MolSpectra paper: 601 samples."""
UV_VIS_QM9S = SpectrumAxis("uv_vis", 1.0, 15.0, 0.02, "eV")
"""UV-Vis of the published QM9S files, which the released weights were trained on: 701 samples."""
IR = SpectrumAxis("ir", 500.0, 4000.0, 1.0, "cm^-1")
"""Infrared: 3501 samples."""
RAMAN = SpectrumAxis("raman", 500.0, 4000.0, 1.0, "cm^-1")
"""Raman: 3501 samples."""


def check_axis(name: str, axis: object) -> None:
    """Refuse what is not an axis.

    Raises:
        TypeError: it is the name of an axis, or something else.
    """
    if not isinstance(axis, SpectrumAxis):
        named = axis.lower() if isinstance(axis, str) else ""
        known = {"ir": "IR", "raman": "RAMAN", "uv_vis": "UV_VIS", "uv-vis": "UV_VIS", "uvvis": "UV_VIS"}
        preset = known.get(named, "IR")
        raise TypeError(
            f"{name} must be a SpectrumAxis; got {axis!r}. Pass molspectra.data.{preset}, or "
            'molspectra.data.SpectrumAxis("name", start, stop, step, "unit").'
        )
