"""Molecules on disk: one flat memory-mapped file a field, read molecule by molecule or cut in batches."""

import json
import operator
import sys
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra.data.store.batches import atom_counts, cut_batch
from molspectra.data.store.columns import Column, share_offsets
from molspectra.data.store.layout import FORMAT, INDEX_FILE, Layout
from molspectra.data.store.selection import Selection

_CHUNK = 1 << 20  # bytes


class MoleculeStore(Sequence[Data]):
    """Molecules that :func:`molspectra.data.write_store` has written, as a sequence of `Data`, or cut in batches.

    Nothing is kept in memory: molecules are copied out of memory-mapped files when they are taken out. The files are
    opened on first use, and again by every process that the store is sent to. An integer index gives a molecule, a
    slice a list of them; :meth:`batch` makes a `Batch` of any of them without a Python object for each. A
    `torch.utils.data.DataLoader` does so with :class:`molspectra.data.Collate`; with that of torch_geometric it makes
    molecules first, as of any data set.

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

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).absolute()  # of use wherever it is opened
        self._index = _read_index(self.directory)
        self._num_molecules = int(self._index["num_molecules"])
        self._columns: dict[str, Column] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that molecules have, some of them perhaps not in all."""
        return tuple(self._index["fields"])

    def __len__(self) -> int:
        return self._num_molecules

    @overload
    def __getitem__(self, index: SupportsIndex) -> Data: ...

    @overload
    def __getitem__(self, index: slice) -> list[Data]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Data | list[Data]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = operator.index(index)  # arithmetic in NumPy's and torch's small integers overflows
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in 0..{len(self) - 1} (or count from the end, as -1); got {index}.")
        index = index % len(self)
        fields = {name: column.read(index) for name, column in self._open().items()}
        return Data.from_dict({name: value for name, value in fields.items() if value is not None})

    def __getitems__(self, indices: Sequence[int]) -> Selection:
        """Molecules that a data loader asks for; read when they are looked at, as a whole by `Collate`."""
        return Selection(self, indices)

    def batch(self, indices: Sequence[int] | slice | np.ndarray | Tensor, exclude_keys: Collection[str] = ()) -> Batch:
        """The same as `Batch.from_data_list([store[i] for i in indices])`, but one gather a field.

        A field that some of the molecules lack is NaN in them if it is one row of floating-point numbers in all that
        have it, such as a spectrum or a label; any other is refused. Molecules without positions get a batch vector if
        they have `z`.

        Args:
            indices: Numbers of molecules, in any order and as often as wanted; negative ones count from the end. A
                slice, or a run of consecutive numbers, is copied in one piece.
            exclude_keys: Fields to leave out; what is not read costs nothing.

        Raises:
            IndexError: there is no such molecule.
            TypeError: indices are not whole numbers in one dimension.
            ValueError: a field cannot be batched; the message names it and a remedy.
        """
        return cut_batch(self._open(), self._positions(indices), exclude_keys)

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each molecule, (M,) int64, read from offsets; for :class:`AtomBudgetSampler`.

        Raises:
            ValueError: no field tells.
        """
        sizes = atom_counts(self._open(), len(self))
        if sizes is None:
            raise ValueError(
                f"{self.directory} does not tell how many atoms its molecules have; expected z, pos or num_nodes in "
                f"all of them, got the fields {list(self.fields)}. Store num_nodes with the molecules, an int each."
            )
        return sizes

    def verify(self) -> None:
        """Read every file and compare it with its checksum; takes as long as the disk does.

        Raises:
            ValueError: a file has changed since it was written; the message names it.
        """
        for name, file in self._index["files"].items():
            checksum = 0
            with (self.directory / name).open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    checksum = zlib.crc32(chunk, checksum)
            if checksum != file["crc32"]:
                raise ValueError(
                    f"{self.directory / name} is damaged: its CRC-32 is {checksum:#010x}; when it was written it was "
                    f"{file['crc32']:#010x}. Write the store again."
                )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_columns": None}

    def __repr__(self) -> str:
        return f"MoleculeStore({str(self.directory)!r}): {len(self)} molecules"

    def _positions(self, indices: Any) -> np.ndarray:
        """Indices as int64 that count from the start."""
        if isinstance(indices, slice):
            return np.arange(*indices.indices(len(self)))
        found = np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices)
        if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
            raise TypeError(
                f"indices must be one-dimensional, of whole numbers; got {found.dtype} of shape {found.shape}. Of a "
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
            if _read_index(self.directory)["id"] != self._index["id"]:
                raise ValueError(f"{self.directory} has been written again since it was opened. Open it anew.")
            described = self._index["fields"].items()
            self._columns = share_offsets(
                {name: Column(self.directory, Layout(**layout)) for name, layout in described}
            )
        return self._columns


def _read_index(directory: Path) -> dict[str, Any]:
    """What index.json says, after a look at whether the files fit it."""
    path = directory / INDEX_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{directory} holds no finished store ({INDEX_FILE} is missing). Write it with molspectra.data.write_store."
        )
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        expected = {name: int(file["bytes"]) for name, file in index["files"].items()}
        form = index["format"], index["byteorder"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}). Write the store again.") from error
    if form != (FORMAT, sys.byteorder):
        raise ValueError(
            f"{path} has format {form[0]!r}, {form[1]!r}-endian; this version reads {FORMAT}, "
            f"{sys.byteorder!r}-endian. Update molspectra, or write the store again here."
        )
    for name, size in expected.items():
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory / name} is missing; expected {size} bytes. Write the store again.")
        found = (directory / name).stat().st_size
        if found != size:
            raise ValueError(f"{directory / name} has {found} bytes; expected {size}. Write the store again.")
    return index
