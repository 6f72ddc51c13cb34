"""Tables with a column of SMILES: .csv and .tsv files, data frames, dictionaries of columns, and rows."""

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra.data.io.text import open_text

TABLE_FILES = (".csv", ".tsv")
"""Endings of files that are read as tables."""

_DELIMITERS = {".csv": (",", ";", "\t"), ".tsv": ("\t",)}
_NULLS = {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"}
# Fields of a molecule, and names by which torch_geometric finds the number of atoms.
_RESERVED = {"z", "pos", "x", "feat", "bond_order", "formal_charge", "smiles", "name", "uv_vis", "ir", "raman", "ptr"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class TableRow(NamedTuple):
    """A row of a table."""

    place: str
    """Place of the row, for messages."""
    smiles: Any
    """Entry of the column of SMILES."""
    labels: Mapping[str, Any]
    """Name of each label → its cell."""
    problem: str | None = None
    """Reason why the row could not be read, None otherwise."""

    def label_fields(self) -> dict[str, Tensor]:
        """Return each label as a field: (1,) float64, NaN if its cell is empty.

        Raises:
            ValueError: a cell is neither a number nor empty.
        """
        return {name: torch.tensor([to_number(name, cell)], dtype=torch.float64) for name, cell in self.labels.items()}


def is_missing(entry: Any) -> bool:
    """Return True for the values that stand for no entry: None, NaN, `pandas.NA`, `NaT` and NumPy's `masked`."""
    if entry is None or type(entry).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return True
    # Also NumPy's floats and decimal.Decimal. Arrays, which compare to an array, are entries.
    return type(entry).__name__.lower().startswith(("float", "decimal")) and bool(entry != entry)


def column_names(source: Any) -> list[str] | None:
    """Return the names of the columns of a table, or None if the source is none.

    Tables are mappings, the data frames of pandas, Polars, PyArrow and others, and NumPy's structured arrays.
    """
    if isinstance(source, Mapping):
        return list(map(str, source))
    dtype_names = getattr(getattr(source, "dtype", None), "names", None)
    if dtype_names is not None:
        return list(dtype_names)
    for attribute in ("column_names", "colnames", "columns"):
        names = getattr(source, attribute, None)
        if names is not None and not callable(names) and hasattr(source, "__getitem__"):
            return list(map(str, names))
    return None


def check_label_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of labels, which become fields of molecules.

    Raises:
        TypeError: `labels` is a single string, or a name is no text.
        ValueError: a name is taken.
    """
    if isinstance(labels, str):
        raise TypeError(f"labels must be a list of columns; got {labels!r}. Write labels=[{labels!r}].")
    for name in labels:
        if not isinstance(name, str):
            raise TypeError(f"labels must be names of columns as text; got {name!r}. Write {str(name)!r}.")
        if is_reserved(name):
            raise ValueError(
                f"labels must be free names of fields; got {name!r}, which torch_geometric or the molecule itself "
                "uses. Rename the column."
            )
    return tuple(labels)


def is_reserved(name: str) -> bool:
    """Return True if a field of this name would change how molecules are put into batches, or replace a field."""
    if name == "y":
        return False  # an attribute of Data, and the usual name of a label
    parts = ("index", "batch", "node", "face")
    return name in _RESERVED or name.startswith("_") or hasattr(Data, name) or any(part in name for part in parts)


def read_table_file(path: Path, smiles: str | None, labels: Sequence[str]) -> Iterator[TableRow]:
    """Read the rows of a .csv or .tsv file with a header.

    Columns of a .csv file are separated by commas, semicolons or tabs, whichever yields the column of SMILES.

    Args:
        path: The file.
        smiles: Name of the column of SMILES.
        labels: Names of the columns of labels.

    Yields:
        The rows in their order. Empty lines are skipped, and a row with too few or too many cells has a problem.

    Raises:
        ValueError: a column is missing or is there twice, or the file is no text.
    """
    with open_text(path) as lines:
        header = lines.readline()
        delimiters = _DELIMITERS[path.suffix.lower()]
        headers = {delimiter: _cells(header, delimiter) for delimiter in delimiters}
        delimiter = next((each for each, names in headers.items() if smiles in names), delimiters[0])
        names = headers[delimiter]
        check_columns(str(path), names, smiles, labels)
        rows = csv.reader((line.replace("\0", "\ufffd") for line in lines), delimiter=delimiter, strict=True)
        while True:
            place = f"{path.name}, line {rows.line_num + 2}"
            try:
                cells = next(rows, None)
            except csv.Error as error:
                yield TableRow(place, None, {}, f"Nothing from here on can be read: {error}. Is a quote closed?")
                return
            if cells is None:
                return
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
                yield TableRow(place, None, {}, f"The row must have {len(names)} cells; got {len(cells)}.")
                continue
            row = dict(zip(names, cells, strict=False))
            yield TableRow(place, row[smiles or ""].strip() or None, {name: row[name] for name in labels})


def table_rows(table: Any, smiles: str | None, labels: Sequence[str]) -> Iterator[TableRow]:
    """Read the rows of a table in memory.

    Raises:
        ValueError: a column is missing, is there twice, or has another length than the column of SMILES.
    """
    names = column_names(table) or []
    check_columns(f"The {type(table).__name__}", names, smiles, labels)
    columns = {name: _column(table, name) for name in (smiles or "", *labels)}
    rows = columns[smiles or ""]
    for name, column in columns.items():
        if len(column) != len(rows):
            raise ValueError(f"Columns must have equal lengths; {smiles!r} has {len(rows)} and {name!r} {len(column)}.")
    for number, entry in enumerate(rows):
        yield TableRow(f"row {number}", entry, {name: columns[name][number] for name in labels})


def check_columns(table: str, names: Sequence[str], smiles: str | None, labels: Sequence[str]) -> None:
    """Check that a table has each requested column once.

    Raises:
        TypeError: a name is no text.
        ValueError: a column is missing or is there twice, or the column of SMILES is not named.
    """
    for name in (smiles, *labels):
        if not isinstance(name, str | None):
            raise TypeError(f"Columns must be named as text; got {name!r}. Write {str(name)!r}.")
    if smiles is None:
        raise ValueError(f'{table} is a table with the columns {list(names)}. Name the one of SMILES: smiles="...".')
    for name in (smiles, *labels):
        if list(names).count(name) != 1:
            problem = "has no column" if name not in names else "has more than one column"
            raise ValueError(f"{table} {problem} {name!r}; its columns are {list(names)}.")


def refuse_columns(source: str, smiles: str | None, labels: Sequence[str] | None) -> None:
    """Check that no columns are named for a source that has none.

    Raises:
        ValueError: they are.
    """
    for argument, value in (("smiles", smiles), ("labels", labels)):
        if value:
            raise ValueError(f"{source} has no columns; got {argument}={value!r}. Leave it out, or pass a table.")


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line.replace("\0", "\ufffd")], delimiter=delimiter), [])]


def _column(table: Any, name: str) -> list[Any]:
    # Names of data frames and dictionaries may be numbers, or tuples.
    keys = table if isinstance(table, Mapping) else getattr(table, "columns", ())
    column = table[next((key for key in keys if isinstance(key, int | tuple) and str(key) == name), name)]
    if isinstance(column, str):
        return [column]  # a dictionary of one row
    if hasattr(column, "to_pylist"):  # PyArrow, whose entries are objects of its own
        return list(column.to_pylist())
    try:
        return list(column)
    except TypeError:  # a number: a dictionary of one row
        return [column]


def to_number(name: str, cell: Any) -> float:
    """Return the number in a cell, NaN for an empty one.

    Raises:
        ValueError: it is neither.
    """
    if is_missing(cell):
        return math.nan
    if isinstance(cell, str):
        text = cell.strip()
        if text.lower() in _NULLS:
            return math.nan
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{name} must be a number or empty; got {cell!r}. Correct the cell, or empty it.")
        number = float(text)
    else:
        try:
            number = float(cell)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name} must be a number or empty; got a {type(cell).__name__}.") from error
    if math.isinf(number):
        raise ValueError(f"{name} must be finite or empty; got {cell!r}. Correct the cell, or empty it.")
    return number
