"""How the fields of molecules become rows that can be laid end to end in a file, and back."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Plain Python values are kept as one number, and come back as what they were.
_PLAIN = {bool: torch.bool, int: torch.int64, float: torch.float64}


class Layout(NamedTuple):
    """How a field lies in its files; written to index.json as it is."""

    file: str
    """Name of its files, without the suffix."""
    kind: str
    """How rows are laid end to end: "first" axis, "last" axis, "scalar" (no axes), "text", "bool", "int", "float"."""
    dtype: str
    shape: list[int]
    """Of one row."""
    rows: int | None = None
    """In each molecule, where that is the same for all; else the offsets of molecules are in a file."""
    missing: bool = False
    """Whether some molecules lack the field; a file says which."""

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        dtype = getattr(torch, self.dtype)
        return math.prod(self.shape) * int(dtype.itemsize)


def to_rows(name: str, value: Any) -> tuple[str, Tensor]:
    """The kind of a field (see `Layout`), and its rows along the first axis.

    Raises:
        TypeError: it is of no kind that can be stored.
    """
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


def from_rows(kind: str, rows: Tensor) -> Tensor | str | bool | int | float:
    """The inverse of `to_rows`."""
    if kind == "text":
        return bytes(rows.tolist()).decode()
    if kind == "first":
        return rows
    if kind == "last":
        return rows.movedim(0, -1).contiguous()
    return rows[0] if kind == "scalar" else rows[0].item()
