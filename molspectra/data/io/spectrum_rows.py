"""Many spectra per file: large published tables with one spectrum per row, streamed row by row.

The layout is that of pandas: a column of row numbers, and one column for each sample of the axis. A file of a user with
one measured spectrum is read by `spectrum_columns`.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra.data.io.archives import file_lines
from molspectra.spectra.axis import SpectrumAxis

_TAIL = 1 << 20  # bytes, about ten rows of 3,500 numbers


def read_rows(path: str | Path, axis: SpectrumAxis, num_rows: int) -> Iterator[str]:
    """Read the numbers of each row as text, and check that the table is whole and its rows are in order.

    The number of the last row is checked first, because tables have several GB.

    Args:
        path: A CSV file. First line: an empty cell and the grid. Other lines: a row number, from 0, and intensities.
        axis: The expected grid.
        num_rows: The expected number of rows.

    Yields:
        The cells after the row number, for :func:`parse_intensities`.

    Raises:
        ValueError: the grid differs, or rows are missing or out of order.
    """
    lines = file_lines(path)
    _check_grid(path, next(lines, ""), axis)
    last = _last_row(path)
    if last != num_rows - 1:
        raise ValueError(
            f"{path} has {last + 1} rows; expected {num_rows}, one for each molecule. The copy is truncated or of "
            "another release: fetch it anew."
        )
    for row, line in enumerate(lines):
        number, _, cells = line.partition(",")
        if _integer(number) != row or row >= num_rows:
            raise ValueError(
                f"{path}, line {row + 2}: expected row {row} of {num_rows}; got {number[:20]!r}. Rows are missing, "
                "moved or damaged: fetch the file anew."
            )
        yield cells


def parse_intensities(cells: str, axis: SpectrumAxis) -> Float[Tensor, "1 length"]:
    """Convert the intensities of a row, (1, L) float32.

    Raises:
        ValueError: their number differs from that of the axis, or one is not a finite number.
    """
    values = list(map(float, cells.split(",")))
    if len(values) != axis.length:
        raise ValueError(f"The row has {len(values)} intensities of {axis.name}; expected {axis.length}.")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"The row has intensities of {axis.name} that are not finite.")
    return torch.tensor([values], dtype=torch.float32)


def _check_grid(path: str | Path, header: str, axis: SpectrumAxis) -> None:
    try:
        grid = torch.tensor(list(map(float, header.split(",")[1:])), dtype=torch.float64)
    except ValueError as error:
        raise ValueError(f"{path}, line 1: expected the grid of {axis.name}, numbers; {error}.") from error
    if len(grid) != axis.length or not torch.allclose(grid, axis.grid, rtol=0, atol=1e-3 * axis.step):
        ends = f", {grid[0]:g} to {grid[-1]:g}" if len(grid) else ""
        raise ValueError(
            f"{path}, line 1: expected {axis.length} samples, {axis.start:g} to {axis.stop:g} {axis.unit}; got "
            f"{len(grid)}{ends}. Is it another kind of spectrum, or another release?"
        )


def _last_row(path: str | Path) -> int:
    """Return the row number at the beginning of the last line, or -1 if it has none, as in a table without rows."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        lines = file.read().rstrip().splitlines()
    return _integer(lines[-1].partition(b",")[0].decode(errors="replace"))


def _integer(text: str) -> int:
    """Convert a row number, or -1 if the text is not one."""
    return int(text) if text.isdecimal() else -1
