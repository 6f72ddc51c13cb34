"""One measured spectrum per file: a text file of a user with a column of positions and a column of values.

Tables with one spectrum per row, as published data sets have them, are read by `spectrum_rows`.
"""

from pathlib import Path

from jaxtyping import Float32
from torch import Tensor

from molspectra._validation import check_choice, checked
from molspectra.data.io.column_headers import column_headers
from molspectra.data.io.declared_units import Declared
from molspectra.data.io.keyed_headers import stated_count
from molspectra.data.io.text_table import TableFormat, TextTable, read_table
from molspectra.spectra.axis import SpectrumAxis, check_axis
from molspectra.spectra.resampling import OUTSIDE


@checked
def read_spectrum_table(
    path: str | Path,
    axis: SpectrumAxis,
    *,
    x_column: int = 0,
    y_column: int = 1,
    x_unit: str | None = None,
    y_unit: str | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    min_transmittance: float | None = None,
    outside: str = "nan",
    conserve_area: bool = False,
) -> Float32[Tensor, "1 length"]:
    r"""Read a spectrum from a text file with one point per line, and resample it to an axis.

    Positions may ascend or descend, at any spacing. Lines of text may precede the points, and follow them below an
    empty line or a mark of instruments (">>>>>End Processed Spectral Data<<<<<", "[Comments]"). Empty lines and lines
    that begin with #, %, ! or // are ignored everywhere. Any other line that cannot be read is an error.

    Units and kinds of intensities are read from the header. Nothing that changes a number is guessed: a header that
    contradicts the points, or the axis, is an error that says which argument to pass.

    Args:
        path: The file, in UTF-8 or Latin-1.
        axis: The axis wanted.
        x_column: Column of the positions, counted from 0. An empty first column counts.
        y_column: Column of the values.
        x_unit: Unit of the positions, instead of the header's: "cm^-1", "nm", "um" or "eV", which are converted into
            one another by their exact constants, or any unit, if it is the unit of the axis. By default the unit of the
            header or, if that names none, the unit of the axis. Values are not rescaled: absorbance needs no factor, a
            density per nm would.
        y_unit: Kind of the values, instead of the header's. "absorbance" and "intensity" are not converted.
            "transmittance" T (0 to 1) and "percent_transmittance" (0 to 100) are turned into absorbance, -log10 T. If
            the header names none, values within ±10 are taken for absorbance and others refused, except on axes in ppm
            or m/z and for Raman spectra, which have arbitrary intensities.
        delimiter: Separator of columns. By default the first of semicolon, tab and comma that is in the line,
            otherwise blanks.
        decimal: Decimal mark of numbers, "." or ",".
        min_transmittance: Transmittances below are raised to this one (a fraction, also for percents), rather than
            refused when they are 0 or less. It limits the absorbance: 1e-3 to 3.
        outside: Value where nothing was measured, beyond the first and last point and between points ten times as far
            apart as their neighbors: "nan", a gap that :class:`~molspectra.spectra.SpecFormer` leaves out, "zero", or
            "raise", an error.
        conserve_area: Average over the bins of the axis instead of interpolating: for spectra much finer than the axis.
            See :func:`molspectra.data.resample`.

    Returns:
        Absorbance or intensity on the axis, (1, L) float32.

    Warns:
        UserWarning: no unit or kind is named, and the values look like transmittance, or most of the file lies beyond
            the axis.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: `axis` is no SpectrumAxis.
        ValueError: a line cannot be read, has too few columns, decimal commas, or a value that is not finite,
            positions occur twice, are out of order or are those of a list of peaks, a value is not a transmittance, the
            file has fewer than two points, or does not overlap with the axis, a unit or kind is unknown, or an argument
            is wrong. The message names file and line.

    Example:
        >>> file = tmp_path / "measured.csv"
        >>> _ = file.write_text("wavenumber (cm-1),%T\n3000,100\n2000,10\n1000,100\n")
        >>> axis = ms.data.SpectrumAxis("ir", 1000, 3000, 500, "cm^-1")
        >>> read_spectrum_table(file, axis)
        tensor([[0.0000, 0.5000, 1.0000, 0.5000, 0.0000]])
    """
    check_axis("axis", axis)
    check_choice("outside", outside, OUTSIDE)
    form = TableFormat(x_column, y_column, delimiter, decimal)
    table = read_table(Path(path), form)
    x_header, y_header = ("", "")
    if x_unit is None or y_unit is None:
        x_header, y_header = column_headers(table, form, axis.unit, with_unit=x_unit is None, with_kind=y_unit is None)
    table.spectrum.check()
    _check_count(table)
    declared = Declared(table.spectrum, axis, "header")
    return table.spectrum.on_axis(
        axis,
        declared.x_unit(x_unit, x_header),
        declared.y_unit(y_unit, y_header, min_transmittance),
        min_transmittance,
        outside,
        conserve_area,
    )


def _check_count(table: TextTable) -> None:
    """Check that no point is missing, in files whose header counts them.

    Raises:
        ValueError: the number differs.
    """
    count, found = stated_count(table.header), len(table.spectrum.positions)
    if count is not None and found != count:
        raise ValueError(
            f"{table.spectrum.path} must hold {count} points, as its header says; found {found}. It is damaged or "
            "truncated: fetch it again."
        )
