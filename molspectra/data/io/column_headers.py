"""Headers of the two columns of a text table."""

import re

from molspectra.data.io.keyed_headers import keyed_headers
from molspectra.data.io.spectrum_units import is_position, is_unit, position_unit, value_kind
from molspectra.data.io.text_table import TableFormat, TextTable

_MOST_ROWS = 3  # names, units and comments, as some programs write them


def column_headers(
    table: TextTable, form: TableFormat, axis_unit: str, *, with_unit: bool, with_kind: bool
) -> tuple[str, str]:
    """Find the text above the points that names positions and intensities.

    Args:
        table: The table.
        form: Places of the columns.
        axis_unit: Unit of the axis.
        with_unit: Refuse files that mention another unit of positions elsewhere than above the positions.
        with_kind: Refuse files that mention transmittance elsewhere than above the intensities.

    Returns:
        Text for :func:`position_unit` and text for :func:`value_kind`, empty where nothing is said.

    Raises:
        ValueError: by its header the column of the intensities holds positions, the header has fewer columns than the
            points, or the file mentions another unit, or transmittance, without saying that the columns are so.
    """
    keyed = keyed_headers(table.header + table.footer, form)
    x_header, y_header = _above(table, form)
    # A line with a key may be about something else: "X: 12.5" is the place of a sample.
    x_header = keyed["x"] if _names_unit(keyed.get("x", "")) else x_header
    y_header = keyed["y"] if value_kind(keyed.get("y", "")) else y_header
    if with_unit and not _names_unit(x_header):
        _refuse_unit(table, axis_unit)
    if with_kind and value_kind(y_header) is None:
        _refuse_transmittance(table)
    return x_header, y_header


def _above(table: TextTable, form: TableFormat) -> tuple[str, str]:
    """Read the rows above the columns."""
    x_header, y_header = "", ""
    rows = [line for line in table.header if not keyed_headers([line], form)]
    for row, line in enumerate(reversed(rows[-_MOST_ROWS:])):
        cells = _cells(line, table, form)
        if len(cells) == table.num_columns and len(cells) > max(form.x_column, form.y_column):
            if any(form.number(cell) is not None for cell in cells):
                break  # a parameter and its value
            _refuse_positions(cells, table, form)
            x, y = cells[form.x_column], cells[form.y_column]
        elif row == 0:
            _refuse_fewer(cells, line, table, form)
            x = y = line if _is_known_unit(line) else ""  # a title is no header of columns
        else:
            break
        x_header = x_header if _names_unit(x_header) else x
        if y_header.strip(" ()[]") == "%":  # a row of units below a row of names
            y_header = f"{y} %"
        y_header = y_header if value_kind(y_header) else y
    return x_header, y_header


def _is_known_unit(text: str) -> bool:
    try:
        return is_unit(position_unit(text))
    except ValueError:
        return True


def _names_unit(text: str) -> bool:
    try:
        return position_unit(text) is not None
    except ValueError:  # several, which is refused where the unit is needed
        return True


def _cells(line: str, table: TextTable, form: TableFormat) -> list[str]:
    """Split a line of the header as the points are. Names in a table with blanks between columns may have blanks."""
    cells = form.split(line, like=table.first)
    while len(cells) > table.num_columns and not cells[-1]:
        cells.pop()
    if len(cells) != table.num_columns:
        cells = [cell for cell in re.split(r"\t|\s{2,}", line.strip()) if cell]
    return cells


def _refuse_positions(cells: list[str], table: TextTable, form: TableFormat) -> None:
    if not is_position(cells[form.y_column]):
        return
    x = next((column for column, cell in enumerate(cells) if is_position(cell) and _is_unit(cell)), form.x_column)
    others = [column for column, cell in enumerate(cells) if column != x and not is_position(cell)]
    y = next((column for column in others if column > x), others[0] if others else x + 1)
    raise ValueError(
        f"{table.spectrum.path}: y_column={form.y_column} must be a column of intensities; its header says "
        f"{cells[form.y_column]!r}, among {cells}. Pass x_column={x}, y_column={y}."
    )


def _refuse_unit(table: TextTable, axis_unit: str) -> None:
    """Refuse "Wavelength (nm)" far above columns without names. "Slit (nm): 2" is a parameter."""
    for line in table.header + table.footer:
        if re.search(r"(?<![/^\d-])\d", re.sub(r"10\^|cm-?1|\b1/|^\W*\w+ \d", " ", line)):
            continue
        try:
            unit = position_unit(line)
        except ValueError:
            unit = "several"
        if unit != position_unit(axis_unit) and (is_unit(unit) or unit == "several"):
            raise ValueError(
                f"{table.spectrum.path}: the header must say above the column of positions in which unit they are; it "
                f"says so elsewhere, in {line.strip()!r}. Pass x_unit."
            )


def _refuse_transmittance(table: TextTable) -> None:
    """Refuse "Mode: Transmission", which may be what the values are, or how they were measured."""
    for line in table.header + table.footer:
        if "transmittance" in (value_kind(line) or ""):
            raise ValueError(
                f"{table.spectrum.path}: the header must say whether values are transmittance or absorbance; got "
                f"{line.strip()!r}, and nothing above the column of values. Pass y_unit."
            )


def _is_unit(cell: str) -> bool:
    return position_unit(cell) not in (None, "row number")


def _refuse_fewer(cells: list[str], line: str, table: TextTable, form: TableFormat) -> None:
    """Refuse points with more columns than their header, where commas may be decimal."""
    in_file = form.delimiter is None and "," in line and ";" not in line and "\t" not in line
    if in_file and 2 <= len(cells) < table.num_columns and form.split(line) == cells:
        raise ValueError(
            f"{table.spectrum.path}, line {table.spectrum.lines[0]}: points must have as many columns as their header, "
            f"{cells}; got {table.num_columns}. If commas are decimal, replace the ones that separate columns by "
            'semicolons and pass decimal=",". If the line is no header, mark it with # or pass delimiter.'
        )
