"""Columns of numbers in a text file of a user: its points, the header above them, and a footer below."""

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from molspectra.data.io.measured_spectrum import MeasuredSpectrum
from molspectra.data.io.text import are_decimal_commas, is_decimal, read_lines, to_float

_COMMENT = re.compile(r"\s*(?:#|%(?![A-Za-z ]*T)|!|//)")
# ">>>>>Begin Spectral Data<<<<<", "XYDATA", "[Data]" and "#DATA" begin the data of some instruments.
_BEGIN = re.compile(r"\s*(?:>{3,}\s*begin\b.*|xydata|#data|\[(?:xy ?)?data\])[\s,;]*", re.IGNORECASE)
# ">>>>>End Processed Spectral Data<<<<<" and "[Comments]" end the data of some instruments.
_FOOTER = re.compile(r"\s*(?:>{3,}|\[[^\]]*\]\s*$)")
# A cell that was meant to be a number: with separators of thousands, blanks, or letters in place of digits.
_DAMAGED_NUMBER = re.compile(r"[+-]?[.,]?\d[\d.,' oOlI]*(?:[eEdD][+-]?\d+)?")

_DATE = re.compile(r"(?<![\d.])(?:\d{1,2}:\d{2}|\d{1,4}([./-])\d{1,2}\1\d{1,4})(?![\d.])")


@dataclass
class TableFormat:
    """Places of positions and intensities in a table, and the way its numbers are written."""

    x_column: int = 0
    y_column: int = 1
    delimiter: str | None = None
    decimal: str = "."

    def __post_init__(self) -> None:
        if min(self.x_column, self.y_column) < 0 or self.x_column == self.y_column:
            raise ValueError(
                f"x_column and y_column must be two different columns, counted from 0; got {self.x_column} and "
                f"{self.y_column}."
            )
        if self.delimiter == "":
            raise ValueError("delimiter must not be empty; got ''. For blanks leave it out.")
        if self.decimal not in (".", ",") or self.decimal == self.delimiter:
            raise ValueError(f'decimal must be "." or ",", and not the delimiter; got {self.decimal!r}.')

    def split(self, line: str, like: str | None = None) -> list[str]:
        """Split a line into cells, by the separator of another line if one is given. An empty first column counts."""
        delimiter = self.delimiter
        if delimiter is None:
            delimiter = next((mark for mark in ";\t," if mark in (like or line) and mark != self.decimal), None)
        if delimiter is None or not delimiter.strip(" "):
            return [cell.strip().strip('"') for cell in line.strip().split(delimiter)]
        if '"' in line and len(delimiter) == 1:
            try:
                return [
                    cell.strip()
                    for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
                ]
            except csv.Error:  # such as a quote that is never closed
                pass
        return [cell.strip() for cell in line.split(delimiter)]

    def number(self, cell: str) -> float | None:
        """Return the number in a cell, or None."""
        if self.decimal == ",":
            # A point would separate thousands.
            cell = "?" if "." in cell else cell.replace(",", ".")
        try:
            return to_float(cell.replace("\u2212", "-"))  # the minus sign of typesetting
        except ValueError:
            return None


@dataclass
class TextTable:
    """Points of a table and the text lines above them.

    Attributes:
        spectrum: Points in the two columns.
        header: Lines of text above the points, from top to bottom, without the marks of comments.
        footer: Lines of text below the points.
        num_columns: Cells in a line of points.
        first: First line of points.
    """

    spectrum: MeasuredSpectrum
    header: list[str]
    footer: list[str] = field(default_factory=list)
    num_columns: int = 0
    first: str = ""


def read_table(path: Path, form: TableFormat) -> TextTable:
    """Read the points in two columns of a text file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is neither text above or below the points, nor a point.
    """
    lines = read_lines(path)
    table = TextTable(MeasuredSpectrum(path, [], [], []), [])
    if is_jcamp(lines):
        raise ValueError(f"{path}: got a JCAMP-DX file, no table. Read it with read_jcamp.")
    begin = max((number for number, line in enumerate(lines, start=1) if _BEGIN.fullmatch(line)), default=0)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if number <= begin or _COMMENT.match(line):
            (table.footer if table.spectrum.lines else table.header).append(_without_mark(line))
            continue
        point = _point(path, number, line, form)
        if point is not None:
            _append(table, number, line, point, form)
        elif not table.spectrum.lines:
            table.header.append(line)
        elif _is_footer(lines, number - 1):
            _refuse_points(path, lines, number, form)
            table.footer += lines[number - 1 :]
            break
        else:
            raise _unreadable(path, number, line, form)
    _refuse_commas_of_either_kind(table, lines, form)
    return table


def _without_mark(line: str) -> str:
    """Return a line without the mark of a comment. "%R" is a unit."""
    return re.sub(r"^\s*(?:[#!/]|%(?! ?[A-Za-z]\s*$))[\s#%!/]*", "", line)


def is_jcamp(lines: list[str]) -> bool:
    """Check that a file is JCAMP-DX. Its labels would pass for comments."""
    return any(re.match(r"\s*##\s*(?:JCAMP|XYDATA|XYPOINTS|PEAK ?TABLE)", line, re.IGNORECASE) for line in lines)


def _point(path: Path, number: int, line: str, form: TableFormat) -> tuple[float, float] | None:
    """Read position and value, or return None for a line of text."""
    if form.decimal == ".":
        _refuse_decimal_commas(path, number, line)
    cells = form.split(line)
    x, y = (cells[column] if column < len(cells) else "" for column in (form.x_column, form.y_column))
    position, value = form.number(x), form.number(y)
    if position is not None and value is not None:
        return position, value
    # A line of text has no position. A line that has one, or only numbers, is a damaged point.
    looks_like_a_point = _is_nearly_number(x) and (value is not None or _is_nearly_number(y))
    if position is not None or looks_like_a_point or _is_nearly_numbers(line):
        raise _unreadable(path, number, line, form)
    return None


def _is_nearly_number(cell: str) -> bool:
    """Check that a cell was meant to be a number: one character too many is in it, or it is written otherwise."""
    if _DAMAGED_NUMBER.fullmatch(cell):
        return True
    # Shorter ones may be names, such as "T1".
    return 4 <= len(cell) <= 30 and any(is_decimal(cell[:i] + cell[i + 1 :]) for i in range(len(cell)))


def _is_nearly_numbers(line: str) -> bool:
    """Check that a line was meant to be numbers: it begins with one, has more, and hardly a letter. Dates are none."""
    letters = sum(character.isalpha() for character in line)
    return (
        re.match(r"""[\s,;"']*[+-]?[.,]?\d""", line) is not None
        and len(re.findall(r"\d[\d.]*", line)) > 1
        and letters <= 2
        and not _DATE.search(line)
    )


def _append(table: TextTable, number: int, line: str, point: tuple[float, float], form: TableFormat) -> None:
    cells = form.split(line)
    while len(cells) > 2 and not cells[-1] and len(cells) != table.num_columns:
        cells.pop()  # some programs write a delimiter at the end, and not in every line
    num_columns = len(cells)
    if table.spectrum.lines and num_columns != table.num_columns:
        raise ValueError(
            f"{table.spectrum.path}, line {number}: lines of points must have equally many columns; got {num_columns} "
            f"in {line.strip()!r} after {table.num_columns} in line {table.spectrum.lines[0]}. Repair the line."
        )
    table.num_columns = table.num_columns or num_columns
    table.first = table.first or line
    table.spectrum.positions.append(point[0])
    table.spectrum.values.append(point[1])
    table.spectrum.lines.append(number)


def _unreadable(path: Path, number: int, line: str, form: TableFormat) -> ValueError:
    cells = form.split(line)
    columns = [column for column, cell in enumerate(cells) if form.number(cell) is not None]
    advice = "Repair the line, mark it with #, or pass delimiter, decimal, x_column or y_column."
    if len(columns) > 1:
        advice += f" Numbers are in columns {columns}, counted from 0: x_column={columns[0]}, y_column={columns[1]}?"
    return ValueError(
        f"{path}, line {number}: expected numbers in columns {form.x_column} and {form.y_column}; got "
        f"{line.strip()!r}, which splits into {cells}. {advice}"
    )


def _is_footer(lines: list[str], index: int) -> bool:
    """Check that the text from a line on closes the file: it is marked so, or stands below an empty line."""
    return _FOOTER.match(lines[index]) is not None or not lines[index - 1].strip()


def _refuse_points(path: Path, lines: list[str], footer: int, form: TableFormat) -> None:
    """Refuse points below a footer."""
    for number, line in enumerate(lines[footer:], start=footer + 1):
        cells = form.split(line) if line.strip() and not _COMMENT.match(line) else []
        columns = (form.x_column, form.y_column)
        if len(cells) > max(columns) and all(form.number(cells[column]) is not None for column in columns):
            raise ValueError(
                f"{path}, line {number}: expected one spectrum; got points again below the text in line {footer}. "
                "Split the file, repair the text line or mark it with #."
            )


def _refuse_decimal_commas(path: Path, number: int, line: str) -> None:
    if are_decimal_commas(line):
        raise ValueError(
            f"{path}, line {number}: numbers must have decimal points; got decimal commas in {line.strip()!r}. Pass "
            'decimal=",", or replace them: text.replace(",", ".").'
        )


def _refuse_commas_of_either_kind(table: TextTable, lines: list[str], form: TableFormat) -> None:
    """Refuse "1000,5,0,123" where all points are so: three or four columns, or two with decimal commas."""
    points = [lines[number - 1] for number in table.spectrum.lines]
    named = any(len(form.split(line)) == table.num_columns for line in table.header)
    if form.delimiter is not None or table.num_columns < 3 or named:
        return
    if all(re.fullmatch(r"\s*[+-]?\d+(?:,\s*[+-]?\d+)+\s*", line) for line in points):
        raise ValueError(
            f"{table.spectrum.path}, line {table.spectrum.lines[0]}: commas must separate columns or be decimal; got "
            f"{points[0].strip()!r}, which may be either. Pass delimiter=',', or replace the commas that separate "
            'columns by semicolons and pass decimal=",".'
        )
