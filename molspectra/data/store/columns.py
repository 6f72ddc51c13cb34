"""One field of stored molecules, read from its memory-mapped files: for one molecule, or for many in one gather."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from molspectra.data.store.layout import Layout, from_rows


class Column:
    """Reads one field.

    Args:
        directory: The store's folder.
        layout: How the field lies in its files.
    """

    def __init__(self, directory: Path, layout: Layout) -> None:
        self.layout = layout
        self.dtype: torch.dtype = getattr(torch, layout.dtype)
        self._row_bytes = layout.row_bytes
        path = directory / layout.file
        self._data = _map(path.with_suffix(".data"))
        # Rows are copied as they are: NumPy has no bfloat16, and takes pieces of one size quickly.
        self._table = self._data.view(np.dtype((np.void, self._row_bytes))) if self._row_bytes else self._data
        self.offsets = None if layout.rows is not None else _map(path.with_suffix(".offsets")).view(np.int64)
        """Where each molecule's rows begin and end, (M + 1,); None if all have equally many."""
        self._present = _map(path.with_suffix(".present")).view(np.bool_) if layout.missing else None

    def read(self, index: int) -> Tensor | str | bool | int | float | None:
        """The field of a molecule, copied; None if it has none."""
        if self._present is not None and not self._present[index]:
            return None
        if self.offsets is None:
            num_rows = self.layout.rows or 0
            start, stop = index * num_rows, (index + 1) * num_rows
        else:
            start, stop = int(self.offsets[index]), int(self.offsets[index + 1])
        shape = (stop - start, *self.layout.shape)
        if (stop - start) * self._row_bytes == 0:
            return from_rows(self.layout.kind, torch.empty(shape, dtype=self.dtype))
        copied = bytearray(self._data[start * self._row_bytes : stop * self._row_bytes])
        rows = torch.frombuffer(copied, dtype=self.dtype)
        return from_rows(self.layout.kind, rows.view(shape) if len(shape) > 1 else rows)

    @property
    def spacing(self) -> int:
        """The same for columns that share their offsets, or have the same number of rows in each molecule."""
        return (self.layout.rows or 0) if self.offsets is None else id(self.offsets)

    def lengths(self, num_molecules: int) -> np.ndarray:
        """How many rows each molecule of the store has, (M,) int64."""
        return np.full(num_molecules, self.layout.rows or 0) if self.offsets is None else np.diff(self.offsets)

    def present(self, indices: np.ndarray | slice) -> np.ndarray | None:
        """Which of these molecules have the field, (M,) bool; None if all have."""
        if self._present is None:
            return None
        present = self._present[indices]
        return None if present.all() else present

    @cached_property
    def is_one_float_row(self) -> bool:
        """Whether all molecules that have the field have one row of floating-point numbers: a spectrum, a label."""
        if not self.dtype.is_floating_point or self.layout.kind not in ("first", "scalar", "float"):
            return False
        if self.offsets is None:
            return self.layout.rows == 1
        return bool((np.diff(self.offsets) == (1 if self._present is None else self._present)).all())

    def rows(self, indices: np.ndarray, consecutive: bool) -> "Rows":
        """Where these molecules are; the same for all columns of the same `spacing`."""
        if self.offsets is None:
            num_rows = self.layout.rows or 0
            return Rows(indices * num_rows, np.full(len(indices), num_rows), consecutive)
        starts = self.offsets[indices]
        return Rows(starts, self.offsets[indices + 1] - starts, consecutive)

    def take(self, rows: "Rows") -> Tensor:
        """Rows of molecules, copied once, end to end."""
        return self._copied(slice(rows.start, rows.start + rows.total) if rows.numbers is None else rows.numbers)

    def take_or_nan(self, indices: np.ndarray, present: np.ndarray) -> Tensor:
        """A row for each molecule, of a column that `is_one_float_row`; NaN for those that lack the field."""
        assert self.offsets is not None
        rows = self._copied(self.offsets[indices])  # a row of another molecule where there is none
        rows[torch.from_numpy(~present)] = torch.nan
        return rows

    def _copied(self, numbers: np.ndarray | slice) -> Tensor:
        size = numbers.stop - numbers.start if isinstance(numbers, slice) else len(numbers)
        shape = (size, *self.layout.shape)
        if size * self._row_bytes == 0:
            return torch.empty(shape, dtype=self.dtype)
        copied = _empty_bytes(size * self._row_bytes)
        out = copied.numpy().view(self._table.dtype)
        if isinstance(numbers, slice):
            out[:] = self._table[numbers]
        else:
            # With mode="raise" NumPy writes to a buffer first. Rows beyond the end are of molecules that have none.
            self._table.take(numbers, out=out, mode="clip")
        rows = copied.view(self.dtype)
        return rows.view(shape) if len(shape) > 1 else rows


class Rows:
    """Which rows of a column hold given molecules.

    Args:
        starts: First row of each molecule, (M,) int64.
        lengths: Number of rows of each, (M,) int64.
        consecutive: Whether the molecules lie one after the other.
    """

    def __init__(self, starts: np.ndarray, lengths: np.ndarray, consecutive: bool) -> None:
        self.lengths = lengths
        slices = ends(lengths)
        self.slices = torch.from_numpy(slices)
        """Where the rows of each begin and end in those that are taken, (M + 1,)."""
        self.total = int(slices[-1])
        self.start = int(starts[0]) if len(starts) else 0
        self.numbers: np.ndarray | None = None
        """Numbers of the rows; None if they are all from `start` on."""
        if not consecutive:
            self.numbers = np.repeat(starts - slices[:-1], lengths)
            self.numbers += np.arange(self.total)


def ends(lengths: np.ndarray) -> np.ndarray:
    """Where pieces of these lengths begin and end, laid end to end, (M + 1,) int64."""
    slices = np.zeros(len(lengths) + 1, dtype=np.int64)
    lengths.cumsum(out=slices[1:])
    return slices


def share_offsets(columns: dict[str, Column]) -> dict[str, Column]:
    """Let columns with the same offsets, such as all fields of atoms, look them up in one file."""
    distinct: list[np.ndarray] = []
    for column in columns.values():
        if column.offsets is not None:
            end = column.offsets[-1]  # tells most of them apart, without a look at all of the file
            alike = (offsets for offsets in distinct if offsets[-1] == end and np.array_equal(offsets, column.offsets))
            same = next(alike, None)
            if same is None:
                distinct.append(column.offsets)
            else:
                column.offsets = same
    return columns


def _empty_bytes(size: int) -> Tensor:
    """In the worker of a data loader in shared memory, where the batch has to go in the end, as PyG does it."""
    if torch.utils.data.get_worker_info() is not None:
        return torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(size))
    return torch.empty(size, dtype=torch.uint8)


def _map(path: Path) -> np.ndarray:
    """A file's bytes, read when they are looked at. A plain array: slices of np.memmap cost several times more."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
