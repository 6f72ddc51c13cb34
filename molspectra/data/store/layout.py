"""Layout of the fields of molecules as rows that are laid end to end in a file."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Plain Python values are kept as one number and come back with their Python type.
_PLAIN = {bool: torch.bool, int: torch.int64, float: torch.float64}


class Layout(NamedTuple):
    """Layout of one field in its files. It is written to index.json unchanged."""

    file: str
    """Name of its files, without the suffix."""
    kind: str
    """Concatenation along the "first" or the "last" axis, a "table" (1, K, d + 1) of peaks whose number K differs
    between molecules, or a "scalar" (no axes), "text", "bool", "int", "float"."""
    dtype: str
    shape: list[int]
    """Shape of one row."""
    rows: int | None = None
    """Rows of each molecule, if all have the same number, otherwise a file holds the offsets of molecules."""
    missing: bool = False
    """True if some molecules lack the field. A file marks those that have it."""

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        dtype = getattr(torch, self.dtype)
        return math.prod(self.shape) * int(dtype.itemsize)


def to_rows(name: str, value: Any) -> tuple[str, Tensor]:
    """Convert a field to its kind (see `Layout`) and its rows along the first axis.

    Raises:
        TypeError: a store cannot keep a value of this type.
    """
    if isinstance(value, Tensor) and value.layout != torch.strided:
        raise TypeError(f"Field {name!r} is a sparse tensor; a store keeps dense ones. Convert it with to_dense().")
    if isinstance(value, Tensor):
        rows = value.detach().cpu()
        if rows.dim() == 0:
            return "scalar", rows.reshape(1)
        return ("last", rows.movedim(-1, 0)) if "index" in name else ("first", rows)
    if isinstance(value, str):
        return "text", torch.tensor(list(value.encode()), dtype=torch.uint8)
    if type(value) in _PLAIN:
        return type(value).__name__, torch.tensor([value], dtype=_PLAIN[type(value)])
    raise TypeError(
        f"Field {name!r} is a {type(value).__name__}; a store keeps tensors, strings, and Python int, float and bool. "
        "Convert it, or take it off the molecule with del data[name]."
    )


def is_table(value: Tensor) -> bool:
    """Return True for a tensor of the form of a list of peaks, (1, K, d + 1)."""
    return value.is_floating_point() and value.dim() == 3 and value.shape[0] == 1


def from_rows(kind: str, rows: Tensor) -> Tensor | str | bool | int | float:
    """Convert rows back to the field: the inverse of `to_rows`."""
    if kind == "text":
        return bytes(rows.tolist()).decode()
    if kind == "first":
        return rows
    if kind == "table":
        return rows.unsqueeze(0)
    if kind == "last":
        return rows.movedim(0, -1).contiguous()
    return rows[0] if kind == "scalar" else rows[0].item()
