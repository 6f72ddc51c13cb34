"""Headers of the two columns of a text table."""

import re

from molspectra.data.io.spectrum_units import is_position, position_unit, value_kind
from molspectra.data.io.text_table import TableFormat, TextTable

# "XUNITS<tab>1/CM" and the like, a line for each column.
_KEYED = re.compile(
    r'\s*"?([xy])[ _-]*(?:units?|axis|label)(?:[ _-]*(?:units?|label|title))?"?\s*[:=\t,;]\s*(.+)', re.I
)
_MOST_ROWS = 3  # names, units and comments, as some programs write them


def column_headers(table: TextTable, form: TableFormat, with_kind: bool = True) -> tuple[str, str]:
    """Find the text above the points that names positions and intensities.

    Args:
        table: The table.
        form: Places of the columns.
        with_kind: Refuse headers that mention transmittance elsewhere than above the intensities.

    Returns:
        Text for :func:`position_unit` and text for :func:`value_kind`, empty where nothing is said.

    Raises:
        ValueError: by its header the column of the intensities holds positions, the header has fewer columns than the
            points, or it mentions transmittance without saying that the values are transmittances.
    """
    matches = [match for line in table.header if (match := _KEYED.match(line))]
    keyed = {match[1].lower(): match[2].strip(' \t";,') for match in matches}
    x_header, y_header = "", ""
    rows = [line for line in table.header if not _KEYED.match(line)]
    for row, line in enumerate(reversed(rows[-_MOST_ROWS:])):
        cells = _cells(line, table, form)
        if len(cells) == table.num_columns and len(cells) > max(form.x_column, form.y_column):
            if any(form.number(cell) is not None for cell in cells):
                break  # a parameter and its value
            _refuse_positions(cells, table, form)
            x, y = cells[form.x_column], cells[form.y_column]
        elif row == 0:
            _refuse_fewer(cells, line, table, form)
            x, y = line, line if position_unit(line) else ""  # a title is no header of columns
        else:
            break
        x_header = x_header if position_unit(x_header) else x
        if y_header.strip(" ()[]") == "%":  # a row of units below a row of names
            y_header = f"{y} %"
        y_header = y_header if value_kind(y_header) else y
    x_header, y_header = keyed.get("x", x_header), keyed.get("y", y_header)
    if with_kind and value_kind(y_header) is None:
        _refuse_mentions(table)
    return x_header, y_header


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


def _refuse_mentions(table: TextTable) -> None:
    """Refuse "Mode: Transmission", which may be what the values are, or how they were measured."""
    for line in table.header:
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
