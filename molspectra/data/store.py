"""Molecules on disk: one flat memory-mapped file a field, written in one pass and read in slices."""

import json
import operator
import os
import re
import shutil
import sys
import uuid
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, SupportsIndex, overload

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra.data.store_layout import Layout, from_rows, to_rows

_FORMAT = 1
_INDEX = "index.json"
_CHUNK = 1 << 20  # bytes
_OFFSET = 8  # bytes of an offset


def write_store(directory: str | Path, molecules: Iterable[Data]) -> int:
    """Write molecules for :class:`MoleculeStore`, in one pass, holding one of them at a time.

    A field may be a tensor, a string, or a Python int, float or bool. Tensors are laid end to end along the axis on
    which PyG batches them: the last one if the name contains "index", else the first one. All other axes and the dtype
    must be the same in every molecule. A field may be missing in some molecules.

    The files grow in a folder of another name beside `directory`, which takes its place when all is written: an
    interrupted run leaves nothing that looks finished.

    Args:
        directory: Where the store goes; replaced if it is there.
        molecules: Molecules of any fields.

    Returns:
        Number of molecules written.

    Raises:
        TypeError: a molecule is no `Data`, or a field is of another type or dtype than can be, or was before.
        ValueError: a field has another shape than before, or a name that no file can have.

    Example:
        >>> molecules = [Data(z=torch.tensor([1]), smiles="[H]"), Data(z=torch.tensor([6, 8]), smiles="[C-]#[O+]")]
        >>> write_store(tmp_path / "store", molecules)
        2
        >>> MoleculeStore(tmp_path / "store")[1].z
        tensor([6, 8])
    """
    directory = Path(directory)
    part = directory.with_name(f"{directory.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    writer = _Writer(part)
    try:
        for data in molecules:
            writer.append(data)
        writer.finish()
        shutil.rmtree(directory, ignore_errors=True)
        os.replace(part, directory)
    finally:
        writer.close()
        shutil.rmtree(part, ignore_errors=True)
    return writer.num_molecules


class MoleculeStore(Sequence[Data]):
    """Molecules that :func:`write_store` has written, as a sequence of `Data`.

    Nothing is kept in memory: a molecule is copied out of memory-mapped files when it is taken out. The files are
    opened on first use, and again by every process that the store is sent to. An integer index gives a molecule, a
    slice a list of them.

    Args:
        directory: The folder given to `write_store`.

    Raises:
        FileNotFoundError: there is no finished store, or a file of it is missing.
        ValueError: the store is of another format, or a file has another size than when it was written.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).absolute()  # of use wherever it is opened
        self._index = _read_index(self.directory)
        self._num_molecules = int(self._index["num_molecules"])
        self._columns: dict[str, _Column] | None = None

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

    def _open(self) -> "dict[str, _Column]":
        if self._columns is None:
            if _read_index(self.directory)["id"] != self._index["id"]:
                raise ValueError(f"{self.directory} has been written again since it was opened. Open it anew.")
            described = self._index["fields"].items()
            self._columns = {name: _Column(self.directory, Layout(**layout)) for name, layout in described}
        return self._columns


class _File:
    """A file that is appended to, whose length and checksum are known at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = self.checksum = 0
        self._stream: BinaryIO = path.open("wb", buffering=_CHUNK)

    def append(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self.size += len(chunk)
        self.checksum = zlib.crc32(chunk, self.checksum)

    def close(self) -> None:
        self._stream.close()


class _FieldWriter:
    """Writes one field: rows, where each molecule's end, and whether it has any."""

    def __init__(self, directory: Path, layout: Layout, num_before: int) -> None:
        self.layout = layout
        self.files = {suffix: _File(directory / f"{layout.file}.{suffix}") for suffix in ("data", "offsets", "present")}
        self._end = 0
        self._lengths: set[int] = set()  # at most two: whether there is more than one is all that matters
        self._missing = num_before > 0
        self.files["offsets"].append(bytes(_OFFSET * (num_before + 1)))
        self.files["present"].append(bytes(num_before))

    def append(self, rows: Tensor | None) -> None:
        """Add a molecule's rows; None if it lacks the field."""
        length = 0 if rows is None else len(rows)
        self._end += length
        if len(self._lengths) < 2:
            self._lengths.add(length)
        self._missing |= rows is None
        if rows is not None:
            self.files["data"].append(rows.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        self.files["offsets"].append(self._end.to_bytes(_OFFSET, sys.byteorder))
        self.files["present"].append(bytes([rows is not None]))

    def finish(self) -> Layout:
        """Drop the files that say nothing; the layout as it turned out."""
        for file in self.files.values():
            file.close()
        rows = self._lengths.pop() if len(self._lengths) == 1 and not self._missing else None
        for suffix, needed in (("offsets", rows is None), ("present", self._missing)):
            if not needed:
                self.files.pop(suffix).path.unlink()
        return self.layout._replace(rows=rows, missing=self._missing)


class _Writer:
    """Writes molecules into a folder, a field at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.num_molecules = 0
        self._fields: dict[str, _FieldWriter] = {}

    def append(self, data: Data) -> None:
        if not isinstance(data, Data) or isinstance(data, Batch):
            raise TypeError(
                f"molecules must be torch_geometric.data.Data, one each; got {type(data).__name__} for molecule "
                f"{self.num_molecules}. Take a batch apart with batch.to_data_list()."
            )
        # Not by data.keys(), which come in no order.
        values = {name: value for name, value in data.to_dict().items() if value is not None}
        for name, value in values.items():
            self._append(name, value)
        for name, field in self._fields.items():
            if name not in values:
                field.append(None)
        self.num_molecules += 1

    def finish(self) -> None:
        """Write the index, last of all."""
        layouts = {name: field.finish()._asdict() for name, field in self._fields.items()}
        files = [file for field in self._fields.values() for file in field.files.values()]
        index = {
            "format": _FORMAT,
            "byteorder": sys.byteorder,
            "id": uuid.uuid4().hex,
            "num_molecules": self.num_molecules,
            "fields": layouts,
            "files": {file.path.name: {"bytes": file.size, "crc32": file.checksum} for file in files},
        }
        (self.directory / _INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")

    def close(self) -> None:
        for field in self._fields.values():
            for file in field.files.values():
                file.close()

    def _append(self, name: str, value: Any) -> None:
        kind, rows = to_rows(name, value)
        dtype, shape = str(rows.dtype).removeprefix("torch."), list(rows.shape[1:])
        if name not in self._fields:
            if not re.fullmatch(r"\w+", name):
                raise ValueError(
                    f"Names of fields must be of letters, digits and underscores; got {name!r}. Rename it."
                )
            layout = Layout(f"{len(self._fields):02d}_{name}", kind, dtype, shape)
            self._fields[name] = _FieldWriter(self.directory, layout, self.num_molecules)
        known = self._fields[name].layout
        if (kind, dtype, shape) != (known.kind, known.dtype, known.shape):
            error = ValueError if (kind, dtype) == (known.kind, known.dtype) else TypeError
            raise error(
                f"Field {name!r} of molecule {self.num_molecules} is {kind}, {dtype}, rows of shape {tuple(shape)}; of "
                f"the molecules before it is {known.kind}, {known.dtype}, {tuple(known.shape)}. Make them alike; only "
                f"the {'last' if 'index' in name else 'first'} axis may differ in length."
            )
        self._fields[name].append(rows)


class _Column:
    """Reads one field."""

    def __init__(self, directory: Path, layout: Layout) -> None:
        self._layout = layout
        self._dtype = getattr(torch, layout.dtype)
        self._row_bytes = layout.row_bytes
        path = directory / layout.file
        self._data = _map(path.with_suffix(".data"))
        self._offsets = None if layout.rows is not None else _map(path.with_suffix(".offsets")).view(np.int64)
        self._present = _map(path.with_suffix(".present")) if layout.missing else None

    def read(self, index: int) -> Tensor | str | bool | int | float | None:
        """The field of a molecule, copied; None if it has none."""
        if self._present is not None and not self._present[index]:
            return None
        if self._offsets is None:
            num_rows = self._layout.rows or 0
            start, stop = index * num_rows, (index + 1) * num_rows
        else:
            start, stop = int(self._offsets[index]), int(self._offsets[index + 1])
        shape = (stop - start, *self._layout.shape)
        if (stop - start) * self._row_bytes == 0:
            return from_rows(self._layout.kind, torch.empty(shape, dtype=self._dtype))
        copied = bytearray(self._data[start * self._row_bytes : stop * self._row_bytes])
        rows = torch.frombuffer(copied, dtype=self._dtype)
        return from_rows(self._layout.kind, rows.view(shape) if len(shape) > 1 else rows)


def _map(path: Path) -> np.ndarray:
    """A file's bytes, read when they are looked at. A plain array: slices of np.memmap cost several times more."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))


def _read_index(directory: Path) -> dict[str, Any]:
    """What index.json says, after a look at whether the files fit it."""
    path = directory / _INDEX
    if not path.is_file():
        raise FileNotFoundError(
            f"{directory} holds no finished store ({_INDEX} is missing). Write it with "
            "molspectra.data.store.write_store."
        )
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        expected = {name: int(file["bytes"]) for name, file in index["files"].items()}
        form = index["format"], index["byteorder"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}). Write the store again.") from error
    if form != (_FORMAT, sys.byteorder):
        raise ValueError(
            f"{path} has format {form[0]!r}, {form[1]!r}-endian; this version reads {_FORMAT}, "
            f"{sys.byteorder!r}-endian. Update molspectra, or write the store again here."
        )
    for name, size in expected.items():
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory / name} is missing; expected {size} bytes. Write the store again.")
        found = (directory / name).stat().st_size
        if found != size:
            raise ValueError(f"{directory / name} has {found} bytes; expected {size}. Write the store again.")
    return index
