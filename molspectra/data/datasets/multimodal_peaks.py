"""Tables of peaks of the multimodal data set, as lists of peaks (1, K, d + 1)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor
from torch_geometric.data import Data

from molspectra.data.chemistry.composition import monoisotopic_mass
from molspectra.spectra.peak_axis import PeakAxis

MULTIPLICITIES = ("s", "d", "t", "q", "p", "h", "hept", "m", "dd", "dt", "dq", "td", "tt", "ddd", "ddt", "dtd", "dddd")
"""Multiplicities of 1H that the data set names often, in the order of their classes. Others have no class."""

_CARBON, _HYDROGEN, _MASS = (-20.0, 240.0), (-2.0, 14.0), (0.0, 1500.0)


_PROTON = {"positive": 1.00727647, "negative": -1.00727647}
"""Mass that a molecule gains by protonation or deprotonation, in u."""


class PeakTable(NamedTuple):
    """Table of peaks of one kind."""

    column: str
    """Column of the shards."""
    positions: tuple[str, ...]
    """Keys of the positions in each row."""
    intensity: str
    """Key of the intensity."""
    axis: PeakAxis


PEAK_TABLES: Mapping[str, PeakTable] = MappingProxyType(
    {
        "h_nmr_peaks": PeakTable(
            "h_nmr_peaks",
            ("delta",),
            "nH",
            PeakAxis("h_nmr_peaks", "ppm", _HYDROGEN, labels=MULTIPLICITIES),
        ),
        "c_nmr_peaks": PeakTable("c_nmr_peaks", ("delta (ppm)",), "intensity", PeakAxis("c_nmr_peaks", "ppm", _CARBON)),
        "hsqc_peaks": PeakTable(
            "hsqc_nmr_peaks",
            ("13C_centroid", "1H_centroid"),
            "nH",
            PeakAxis("hsqc_peaks", "ppm", (_CARBON, _HYDROGEN)),
        ),
    }
)
"""Kind → its table, of NMR."""


def mass_axis_of(kind: str) -> PeakAxis:
    """Return the axis of a mass spectrum that is kept as its list of peaks."""
    return PeakAxis(kind, "m/z", _MASS, precursor=f"precursor_mz_{_polarity(kind)}")


def precursors_of(data: Data, axes: Mapping[str, PeakAxis]) -> dict[str, Float32[Tensor, "1 1"]]:
    """Return the m/z of the ions [M+H]+ and [M-H]- that the mass spectra on these axes are of, NaN for a charged M."""
    mass = monoisotopic_mass(data.z) if int(data.formal_charge.sum()) == 0 else float("nan")
    ions = {axis.precursor: _PROTON[_polarity(kind)] for kind, axis in axes.items() if axis.precursor is not None}
    return {name: torch.tensor([[mass + gain]], dtype=torch.float32) for name, gain in ions.items()}


def read_peak_table(kind: str, rows: Any) -> Float32[Tensor, "1 peaks columns"]:
    """Convert a table of NMR peaks of a shard.

    Args:
        kind: One of `PEAK_TABLES`.
        rows: Rows of the table, mappings, or None.

    Returns:
        Positions in ppm and intensity of each peak, and the class of its multiplicity if the axis has classes. A single
        row of NaN if there are no peaks.

    Raises:
        ValueError: a number is missing, not finite or beyond the axis, or an intensity is negative.
    """
    table = PEAK_TABLES[kind]
    peaks = [_peak(table, row) for row in rows or []]
    return peak_list(table.column, peaks, table.axis)


def peak_list(column: str, peaks: list[list[float]], axis: PeakAxis) -> Float32[Tensor, "1 peaks columns"]:
    """Check peaks and return them as a field, a single row of NaN if there are none.

    Raises:
        ValueError: a peak is not finite or beyond the axis, or an intensity is negative.
    """
    columns = axis.num_columns
    if not peaks:
        return torch.full((1, 1, columns), torch.nan, dtype=torch.float32)
    if any(len(peak) != columns for peak in peaks):
        raise ValueError(f"{column} must have {columns} numbers for each peak.")
    values = torch.tensor(peaks, dtype=torch.float64)
    measured = values[:, : axis.num_positions + 1]
    if not bool(measured.isfinite().all()) or bool((measured[:, -1] < 0).any()):
        raise ValueError(f"{column} must have finite peaks, and intensities of 0 or more.")
    for place, (low, high) in enumerate(axis.ranges):
        beyond = (measured[:, place] < low) | (measured[:, place] > high)
        if bool(beyond.any()):
            raise ValueError(
                f"{column} must have peaks at {low:g} to {high:g}; got one at {float(measured[beyond, place][0]):g}."
            )
    return values.to(torch.float32).unsqueeze(0)


def _peak(table: PeakTable, row: Any) -> list[float]:
    keys = (*table.positions, table.intensity)
    if not isinstance(row, Mapping) or any(not isinstance(row.get(key), int | float) for key in keys):
        raise ValueError(f"{table.column} must have the numbers {list(keys)} for each peak; got {row!r}.")
    numbers = [float(row[key]) for key in keys]
    if table.axis.labels:
        multiplicity = row.get("category")
        known = multiplicity in MULTIPLICITIES
        numbers.append(float(MULTIPLICITIES.index(multiplicity)) if known else float("nan"))
    return numbers


def _polarity(kind: str) -> str:
    return "negative" if "negative" in kind else "positive"
