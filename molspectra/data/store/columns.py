"""Columns: one field of all stored molecules, read from memory-mapped files for one molecule or for many at once."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from molspectra.data.store.layout import Layout, from_rows


class Column:
    """Reader of one field.

    Args:
        directory: The store's folder.
        layout: Layout of the field in its files.
    """

    def __init__(self, directory: Path, layout: Layout) -> None:
        self.layout = layout
        self.dtype: torch.dtype = getattr(torch, layout.dtype)
        self._row_bytes = layout.row_bytes
        path = directory / layout.file
        self._data = _map(path.with_suffix(".data"))
        # Rows are copied as opaque bytes: NumPy has no bfloat16, and gathers items of one size quickly.
        self._table = self._data.view(np.dtype((np.void, self._row_bytes))) if self._row_bytes else self._data
        self.offsets = None if layout.rows is not None else _map(path.with_suffix(".offsets")).view(np.int64)
        """Boundaries of the molecules' rows, (M + 1,), or None if all have the same number of rows."""
        self._present = _map(path.with_suffix(".present")).view(np.bool_) if layout.missing else None

    def read(self, index: int) -> Tensor | str | bool | int | float | None:
        """Copy the field of one molecule, or None if the molecule lacks it."""
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
        """Key that is equal for columns that share their offsets, or have the same number of rows in each molecule."""
        return (self.layout.rows or 0) if self.offsets is None else id(self.offsets)

    def lengths(self, num_molecules: int) -> np.ndarray:
        """Return the number of rows of each molecule of the store, (M,) int64."""
        return np.full(num_molecules, self.layout.rows or 0) if self.offsets is None else np.diff(self.offsets)

    def present(self, indices: np.ndarray | slice) -> np.ndarray | None:
        """Return True for each of these molecules that has the field, (M,) bool, or None if all have it."""
        if self._present is None:
            return None
        present = self._present[indices]
        return None if present.all() else present

    @cached_property
    def is_one_float_row(self) -> bool:
        """True if every molecule that has the field has one row of floating-point numbers: a spectrum, a label."""
        if not self.dtype.is_floating_point or self.layout.kind not in ("first", "scalar", "float"):
            return False
        if self.offsets is None:
            return self.layout.rows == 1
        return bool((np.diff(self.offsets) == (1 if self._present is None else self._present)).all())

    def rows(self, indices: np.ndarray, consecutive: bool) -> "Rows":
        """Locate the rows of these molecules, for all columns of the same `spacing`."""
        if self.offsets is None:
            num_rows = self.layout.rows or 0
            return Rows(indices * num_rows, np.full(len(indices), num_rows), consecutive)
        starts = self.offsets[indices]
        return Rows(starts, self.offsets[indices + 1] - starts, consecutive)

    def take(self, rows: "Rows") -> Tensor:
        """Copy the rows of molecules, end to end."""
        return self._copied(slice(rows.start, rows.start + rows.total) if rows.numbers is None else rows.numbers)

    def take_tables(self, rows: "Rows") -> Tensor:
        """Copy lists of peaks from a "table", (M, K, d + 1), with rows of NaN below those with fewer peaks than others.

        Molecules that lack the field have no rows.
        """
        peaks = self.take(rows)
        lengths = torch.from_numpy(rows.lengths)
        longest = int(lengths.max()) if len(lengths) else 0
        padded = peaks.new_full((len(lengths), longest, *peaks.shape[1:]), torch.nan)
        padded[torch.arange(longest) < lengths[:, None]] = peaks
        return padded

    def take_or_nan(self, indices: np.ndarray, present: np.ndarray) -> Tensor:
        """Copy one row per molecule from a column that `is_one_float_row`, NaN for molecules that lack the field."""
        assert self.offsets is not None
        rows = self._copied(self.offsets[indices])  # for molecules without the field, a row of another one
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
            # mode="raise" would copy through a buffer. Only molecules without the field point beyond the end.
            self._table.take(numbers, out=out, mode="clip")
        rows = copied.view(self.dtype)
        return rows.view(shape) if len(shape) > 1 else rows


class Rows:
    """Rows of a column that hold given molecules.

    Args:
        starts: First row of each molecule, (M,) int64.
        lengths: Number of rows of each, (M,) int64.
        consecutive: True if the molecules are neighbors in the file, in this order.
    """

    def __init__(self, starts: np.ndarray, lengths: np.ndarray, consecutive: bool) -> None:
        self.lengths = lengths
        slices = boundaries(lengths)
        self.slices = torch.from_numpy(slices)
        """Boundaries of the molecules within the copied rows, (M + 1,)."""
        self.total = int(slices[-1])
        self.start = int(starts[0]) if len(starts) else 0
        self.numbers: np.ndarray | None = None
        """Numbers of the rows, or None if they are consecutive from `start` on."""
        if not consecutive:
            self.numbers = np.repeat(starts - slices[:-1], lengths)
            self.numbers += np.arange(self.total)


def boundaries(lengths: np.ndarray) -> np.ndarray:
    """Return the boundaries of pieces of these lengths, laid end to end: 0, then cumulative sums, (M + 1,) int64."""
    slices = np.zeros(len(lengths) + 1, dtype=np.int64)
    lengths.cumsum(out=slices[1:])
    return slices


def share_offsets(columns: dict[str, Column]) -> dict[str, Column]:
    """Let columns with equal offsets, such as all per-atom fields, share one array, so that it is looked up once."""
    distinct: list[np.ndarray] = []
    for column in columns.values():
        if column.offsets is not None:
            end = column.offsets[-1]  # differs for most of them, so that few files are compared as a whole
            alike = (offsets for offsets in distinct if offsets[-1] == end and np.array_equal(offsets, column.offsets))
            same = next(alike, None)
            if same is None:
                distinct.append(column.offsets)
            else:
                column.offsets = same
    return columns


def _empty_bytes(size: int) -> Tensor:
    """Allocate bytes, in shared memory if this is a worker of a data loader: it saves a copy, as in PyG."""
    if torch.utils.data.get_worker_info() is not None:
        return torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(size))
    return torch.empty(size, dtype=torch.uint8)


def _map(path: Path) -> np.ndarray:
    """Map a file to memory, as a plain array: slicing an np.memmap takes several times longer."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
