"""Sequence of molecules on disk, read one by one or cut in batches."""

import operator
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra._validation import checked
from molspectra.data._html import dataset_html
from molspectra.data.store.batches import atom_counts, cut_batch
from molspectra.data.store.columns import Column, share_offsets
from molspectra.data.store.index import read_index, verify_checksums
from molspectra.data.store.selection import Selection


class MoleculeStore(Sequence[Data]):
    """Molecules that :func:`molspectra.data.write_store` has written, as a sequence of `Data`, or cut in batches.

    Nothing is kept in memory: molecules are copied from memory-mapped files when they are accessed. The files are
    opened on first use, and again in every process that receives the store. An integer index gives a molecule, a slice
    a list of them. :meth:`batch` makes a `Batch` of any of them without a Python object for each. A
    `torch.utils.data.DataLoader` does so with :class:`molspectra.data.Collate`. With the collate function of
    torch_geometric it makes single molecules first, as with any data set.

    Args:
        directory: The folder given to `write_store`.

    Raises:
        FileNotFoundError: there is no finished store, or a file of it is missing.
        ValueError: the store is of another format, or a file has another size than when it was written.

    Example:
        >>> ms.data.write_store(tmp_path / "store", ms.data.MiniSpectra("test"))
        73
        >>> store = MoleculeStore(tmp_path / "store")
        >>> store.batch([0, 5, -1], exclude_keys=["raman"]).ir.shape
        torch.Size([3, 3501])
    """

    @checked
    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).absolute()  # stays valid if the process changes its working directory
        self._index = read_index(self.directory)
        self._columns: dict[str, Column] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that at least one molecule has."""
        return tuple(self._index.layouts)

    def __len__(self) -> int:
        return self._index.num_molecules

    @overload
    def __getitem__(self, index: SupportsIndex) -> Data: ...

    @overload
    def __getitem__(self, index: slice) -> list[Data]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Data | list[Data]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = operator.index(index)  # arithmetic in the small integers of NumPy and torch overflows
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in 0..{len(self) - 1} (or count from the end, as -1); got {index}.")
        index = index % len(self)
        fields = {name: column.read(index) for name, column in self._open().items()}
        return Data.from_dict({name: value for name, value in fields.items() if value is not None})

    def __getitems__(self, indices: Sequence[int]) -> Selection:
        """Select molecules for a data loader. They are read on access, or all at once by `Collate`."""
        return Selection(self, indices)

    def batch(self, indices: Sequence[int] | slice | np.ndarray | Tensor, exclude_keys: Collection[str] = ()) -> Batch:
        """Make the batch `Batch.from_data_list([store[i] for i in indices])`, by one gather per field.

        A field that some of the molecules lack is NaN in them if it is one row of floating-point numbers in all others,
        such as a spectrum or a label. Any other field that some lack is refused. Molecules without positions get a
        batch vector if they have `z`.

        Args:
            indices: Numbers of molecules, in any order and with repetitions. Negative ones count from the end. A slice,
                or a run of consecutive numbers, is copied in one piece.
            exclude_keys: Fields to leave out. They are not read.

        Returns:
            The batch.

        Raises:
            IndexError: an index is out of range.
            TypeError: indices are not integers in one dimension.
            ValueError: a field cannot be batched. The message names it and a remedy.
        """
        return cut_batch(self._open(), self._positions(indices), exclude_keys)

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each molecule, (M,) int64, read from offsets, for :class:`AtomBudgetSampler`.

        Raises:
            ValueError: no field has one entry per atom.
        """
        sizes = atom_counts(self._open(), len(self))
        if sizes is None:
            raise ValueError(
                f"{self.directory} does not tell how many atoms its molecules have; expected z, pos or num_nodes in "
                f"all of them, got the fields {list(self.fields)}. Store num_nodes with the molecules, one int each."
            )
        return sizes

    def verify(self) -> None:
        """Read every file and compare it with its checksum, which takes as long as reading the disk.

        Raises:
            ValueError: a file has changed since it was written. The message names it.
        """
        verify_checksums(self.directory, self._index)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_columns": None}  # maps of files are opened anew by the process that receives them

    def __repr__(self) -> str:
        return f"MoleculeStore({str(self.directory)!r}): {len(self)} molecules"

    def _repr_html_(self) -> str:
        return dataset_html(self)

    def _positions(self, indices: Any) -> np.ndarray:
        """Convert indices to int64 that count from the start."""
        if isinstance(indices, slice):
            return np.arange(*indices.indices(len(self)))
        found = np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices)
        if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
            raise TypeError(
                f"indices must be one-dimensional, of whole numbers; got {found.dtype} of shape {found.shape}. For a "
                "mask take mask.nonzero()."
            )
        positions = found.astype(np.int64)
        if len(positions) == 0:
            return positions
        low, high = int(positions.min()), int(positions.max())
        if not -len(self) <= low <= high < len(self):
            raise IndexError(
                f"indices must lie in 0..{len(self) - 1} (or count from the end, as -1); got {low} to {high}."
            )
        return positions if low >= 0 else np.where(positions < 0, positions + len(self), positions)

    def _open(self) -> dict[str, Column]:
        if self._columns is None:
            if read_index(self.directory).id != self._index.id:
                raise ValueError(f"{self.directory} has been written again since it was opened. Open it anew.")
            layouts = self._index.layouts.items()
            self._columns = share_offsets({name: Column(self.directory, layout) for name, layout in layouts})
        return self._columns
