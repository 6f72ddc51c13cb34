"""One spectrum from a file of any format, on the axis of its kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from molspectra.data.io.bruker import read_bruker
from molspectra.data.io.jcamp import read_jcamp
from molspectra.data.io.peak_list import checked_peaks
from molspectra.data.io.spectrum_columns import read_spectrum_table
from molspectra.data.io.text_table import TableFormat
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis

JCAMP_FILES = (".jdx", ".dx", ".jcamp", ".jcm")
"""Endings of JCAMP-DX files."""


def read_any_spectrum(path: Path, axis: SpectrumAxis | PeakAxis, options: Mapping[str, Any]) -> Tensor:
    """Read a curve to a row on its axis, (1, L), or peaks to their list, (1, K, 2).

    Args:
        path: A JCAMP-DX file, a text file with columns or a record of peaks, or, for a curve, a Bruker directory.
        axis: Axis of the curve, or of the peaks.
        options: Arguments of the reader, such as `x_unit` and `min_transmittance`.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: the reader has no such argument.
        ValueError: the file is damaged or does not fit the axis.
    """
    if isinstance(axis, PeakAxis):
        return _peaks(path, axis, **options)
    if path.is_dir() or path.name == "1r":
        return read_bruker(path, axis, **options)
    read = read_jcamp if path.suffix.lower() in JCAMP_FILES else read_spectrum_table
    return read(path, axis, **options)


def missing_spectrum(axis: SpectrumAxis | PeakAxis) -> Tensor:
    """Return the NaN that stands for a spectrum that was not measured."""
    shape = (1, axis.length) if isinstance(axis, SpectrumAxis) else (1, 1, axis.num_columns)
    return torch.full(shape, torch.nan, dtype=torch.float32)


def _peaks(
    path: Path,
    axis: PeakAxis,
    *,
    x_unit: str | None = None,
    outside: str = "raise",
    delimiter: str | None = None,
    decimal: str = ".",
) -> Tensor:
    """Read a list of peaks, with a class of NaN for each if the axis has classes."""
    (low, high), *_ = axis.ranges
    span = SpectrumAxis(axis.name, low, high, high - low, axis.units[0])
    form = TableFormat(delimiter=delimiter, decimal=decimal)
    positions, intensities = checked_peaks(path, span, form, x_unit, "cut")
    inside = (positions >= low) & (positions <= high)
    if not bool(inside.any()) or (outside == "raise" and not bool(inside.all())):
        raise ValueError(
            f"{path} must have its peaks at {low:g} to {high:g} {axis.units[0]}, on the axis {axis.name!r}; got one at "
            f'{float(positions[~inside][0]):g}. Pass outside="cut" to leave such peaks out, or a longer range.'
        )
    columns = [positions[inside], intensities[inside]]
    if axis.labels:
        columns.append(torch.full_like(columns[0], torch.nan))
    return torch.stack(columns, dim=1).to(torch.float32).unsqueeze(0)
