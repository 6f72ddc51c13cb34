"""Writer of one field of a store: its rows, their boundaries, and which molecules have it."""

import sys
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from molspectra.data.store.layout import Layout

_BUFFER = 1 << 20  # bytes
_OFFSET = 8  # bytes of an offset


class _File:
    """File that is appended to and knows its length and checksum at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = self.checksum = 0
        self._stream: BinaryIO = path.open("wb", buffering=_BUFFER)

    def append(self, chunk: bytes | memoryview) -> None:
        self._stream.write(chunk)
        self.size += len(chunk)
        self.checksum = zlib.crc32(chunk, self.checksum)

    def replace(self, content: bytes) -> None:
        """Replace everything that has been written."""
        self._stream.seek(0)
        self._stream.truncate()
        self.size = self.checksum = 0
        self.append(content)

    def read(self) -> bytes:
        """Read everything that has been written."""
        self._stream.flush()
        return self.path.read_bytes()

    def close(self) -> None:
        self._stream.close()


class FieldWriter:
    """Writer of one field: its rows, their boundaries, and a flag for each molecule that has it."""

    def __init__(self, directory: Path, layout: Layout, num_before: int) -> None:
        self.layout = layout
        self.files = {suffix: _File(directory / f"{layout.file}.{suffix}") for suffix in ("data", "offsets", "present")}
        self._end = 0
        self._lengths: set[int] = set()  # stops at two, which show already that offsets are needed
        self._missing = num_before > 0
        self._single_rows = True  # of each molecule that has the field
        self.files["offsets"].append(bytes(_OFFSET * (num_before + 1)))
        self.files["present"].append(bytes(num_before))

    def takes_as_table(self, rows: Tensor) -> bool:
        """Return True if rows (M, K, d + 1) are lists of peaks, as all before, but not all lists have the same K."""
        _, peaks, width = rows.shape
        if self.layout.dtype != str(rows.dtype).removeprefix("torch."):
            return False
        if self.layout.kind == "table":
            return self.layout.shape == [width]
        is_other = self._single_rows and len(self.layout.shape) == 2 and self.layout.shape[1] == width
        if is_other and self.layout.shape[0] != peaks:
            self._become_table()
        return self.layout.kind == "table"

    def _become_table(self) -> None:
        """Take the rows (K, d + 1) so far for lists of K peaks.

        The data stay as they are. Boundaries count peaks from now on.
        """
        peaks, width = self.layout.shape
        offsets = np.frombuffer(self.files["offsets"].read(), dtype=np.int64) * peaks
        self.files["offsets"].replace(offsets.tobytes())
        self.layout = self.layout._replace(kind="table", shape=[width])
        self._end *= peaks
        self._lengths = {length * peaks for length in self._lengths}

    def append(self, rows: Tensor | None) -> None:
        """Append the rows of a molecule, or None if it lacks the field."""
        length = 0 if rows is None else len(rows)
        self._end += length
        if len(self._lengths) < 2:
            self._lengths.add(length)
        self._missing |= rows is None
        if rows is not None:
            self._single_rows &= length == 1
            self.files["data"].append(_bytes(rows))
        self.files["offsets"].append(self._end.to_bytes(_OFFSET, sys.byteorder))
        self.files["present"].append(bytes([rows is not None]))

    def extend(self, rows: Tensor | None, lengths: np.ndarray) -> None:
        """Append the rows of many molecules and their numbers of rows, or None if all of them lack the field."""
        if len(self._lengths) < 2:
            self._lengths.update(np.unique(lengths)[:2].tolist())
        self._missing |= rows is None
        if rows is not None:
            self._single_rows &= bool((lengths == 1).all())
            self.files["data"].append(_bytes(rows))
        ends = self._end + np.cumsum(lengths, dtype=np.int64)
        self._end = int(ends[-1])
        self.files["offsets"].append(ends.view(np.uint8).data)
        self.files["present"].append(bytes([rows is not None]) * len(lengths))

    def finish(self) -> Layout:
        """Close the files, delete those that carry no information, and return the final layout."""
        for file in self.files.values():
            file.close()
        rows = self._lengths.pop() if len(self._lengths) == 1 and not self._missing else None
        for suffix, needed in (("offsets", rows is None), ("present", self._missing)):
            if not needed:
                self.files.pop(suffix).path.unlink()
        return self.layout._replace(rows=rows, missing=self._missing)


def _bytes(rows: Tensor) -> memoryview:
    # A single number counts as contiguous whatever its stride, but a view as bytes requires a stride of 1.
    return rows.contiguous().as_strided((rows.numel(),), (1,)).view(torch.uint8).numpy().data
