"""One measured spectrum per file: a text file of a user with a column of positions and a column of values.

Tables with one spectrum per row, as published data sets have them, are read by `spectrum_rows`.
"""

import math
import re
from pathlib import Path

from jaxtyping import Float32
from torch import Tensor

from molspectra.data.io.measured_spectrum import MeasuredSpectrum
from molspectra.data.io.text import read_lines
from molspectra.spectra.axis import SpectrumAxis

# A cell that is one number with a decimal comma.
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")


def read_spectrum_table(
    path: str | Path,
    axis: SpectrumAxis,
    *,
    x_column: int = 0,
    y_column: int = 1,
    x_unit: str | None = None,
    y_unit: str = "absorbance",
    delimiter: str | None = None,
    min_transmittance: float | None = None,
    outside: str = "zero",
    conserve_area: bool = False,
) -> Float32[Tensor, "1 length"]:
    r"""Read a spectrum from a text file with one point per line, and resample it to an axis.

    Positions may ascend or descend, at any spacing. Lines of text may precede the points. Empty lines and lines that
    begin with # are ignored everywhere. Any other line that cannot be read is an error.

    Args:
        path: The file, in UTF-8 or Latin-1, with decimal points.
        axis: The axis wanted.
        x_column: Column of the positions, counted from 0.
        y_column: Column of the values.
        x_unit: Unit of the positions, "cm^-1", "nm", "um" or "eV", which are converted into one another by their exact
            constants, or any unit, if it is the unit of the axis. By default the unit of the axis. Values are not
            rescaled: absorbance needs no factor, a density per nm would.
        y_unit: "absorbance" and "intensity" are not converted. "transmittance" T (0 to 1) and
            "percent_transmittance" (0 to 100) are turned into absorbance, -log10 T.
        delimiter: Separator of columns. By default the first of semicolon, tab and comma that is in the line,
            otherwise blanks.
        min_transmittance: Transmittances below are raised to this one (a fraction, also for percents), rather than
            refused when they are 0 or less. It limits the absorbance: 1e-3 to 3.
        outside: Value where the axis reaches beyond the measured range: "zero", "nan", to see where (models accept
            missing spectra, rows of NaN, but not partly missing ones), or "raise", an error.
        conserve_area: Average over the bins of the axis instead of interpolating: for spectra much finer than the axis.
            See :func:`molspectra.data.resample`.

    Returns:
        Absorbance or intensity on the axis, (1, L) float32.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line cannot be read, has too few columns, decimal commas, or a value that is not finite,
            positions occur twice or are out of order, a value is not a transmittance, the file has fewer than two
            points, or an argument is wrong. The message names file and line.

    Example:
        >>> file = tmp_path / "measured.csv"
        >>> _ = file.write_text("wavenumber,percent T\n3000,100\n2000,10\n1000,100\n")
        >>> axis = ms.data.SpectrumAxis("ir", 1000, 3000, 500, "cm^-1")
        >>> read_spectrum_table(file, axis, y_unit="percent_transmittance")
        tensor([[0.0000, 0.5000, 1.0000, 0.5000, 0.0000]])
    """
    if min(x_column, y_column) < 0 or x_column == y_column:
        raise ValueError(
            f"x_column and y_column must be two different columns, counted from 0; got {x_column} and {y_column}."
        )
    if delimiter == "":
        raise ValueError("delimiter must not be empty; got ''. For blanks leave it out.")
    spectrum = _parse(Path(path), x_column, y_column, delimiter)
    return spectrum.on_axis(axis, x_unit or axis.unit, y_unit, min_transmittance, outside, conserve_area)


def _parse(path: Path, x_column: int, y_column: int, delimiter: str | None) -> MeasuredSpectrum:
    spectrum = MeasuredSpectrum(path, [], [], [])
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        _refuse_decimal_commas(path, number, line)
        cells = _split(line, delimiter)
        x, y = (_number(cells, column) for column in (x_column, y_column))
        if x is not None and y is not None:
            spectrum.positions.append(x)
            spectrum.values.append(y)
            spectrum.lines.append(number)
        elif spectrum.lines or x is not None:
            # A line of text before the points has no position. A line with a position is a damaged point.
            raise ValueError(
                f"{path}, line {number}: expected numbers in columns {x_column} and {y_column}; got {line.strip()!r}, "
                f"which splits into {cells}. Repair the line, mark it with #, or pass delimiter, x_column or y_column."
            )
    return spectrum


def _split(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        delimiter = next((mark for mark in ";\t," if mark in line), None)
    return [cell.strip() for cell in line.strip().split(delimiter)]


def _number(cells: list[str], column: int) -> float | None:
    try:
        # Python accepts underscores in numbers, tables do not.
        return float(cells[column].replace("_", "?"))
    except (IndexError, ValueError):
        return None


def _refuse_decimal_commas(path: Path, number: int, line: str) -> None:
    cells = [cell for cell in re.split(r"[;\s]+", line.strip()) if cell]
    if len(cells) > 1 and any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells) and all(map(_is_number, cells)):
        raise ValueError(
            f"{path}, line {number}: numbers must have decimal points; got decimal commas in {line.strip()!r}. Replace "
            "them: text.replace(',', '.')."
        )


def _is_number(cell: str) -> bool:
    """Check that a cell is a number, with a decimal point or a decimal comma."""
    try:
        return not math.isnan(float(cell.replace(",", ".")))
    except ValueError:
        return False
