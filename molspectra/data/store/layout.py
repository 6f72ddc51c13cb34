"""How the fields of molecules become rows that can be laid end to end in a file, and back."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

FORMAT = 1
INDEX_FILE = "index.json"

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


def rows_of_batch(batch: Batch) -> dict[str, tuple[str, Tensor, np.ndarray]] | None:
    """As `to_rows`, for every field of a batch: kind, rows of all molecules end to end, how many each molecule has.

    The molecules are those that `batch.to_data_list()` gives, of which a number is a tensor of one entry.

    Returns:
        None if a field is not simply laid end to end, so that the batch has to be taken apart.

    Raises:
        ValueError: the batch does not know its molecules, or some field of it was added later.
    """
    slices, increments = getattr(batch, "_slice_dict", None), getattr(batch, "_inc_dict", None)
    if slices is None or increments is None:
        raise ValueError(
            "A batch to be stored must know its molecules; this one was not made by Batch.from_data_list or "
            "MoleculeStore.batch. Make it so, or store single molecules."
        )
    added = set(batch.keys()) - slices.keys() - {"batch", "ptr", "num_nodes"}
    if added:
        raise ValueError(
            f"Fields {sorted(added)} were added to a batch after it was made, and do not say what belongs to which "
            "molecule. Add them to the molecules, or take them off the batch with del batch[name]."
        )
    fields = {}
    for name in slices:
        if name not in batch:
            continue
        value, starts, added = batch[name], slices[name], increments[name]
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            texts = [text.encode() for text in value]
            characters = torch.tensor(list(b"".join(texts)), dtype=torch.uint8)
            fields[name] = "text", characters, np.array([len(text) for text in texts])
            continue
        last = "index" in name
        if not isinstance(value, Tensor) or batch.__cat_dim__(name, value) != (-1 if last else 0) or added.dim() != 1:
            return None
        rows, lengths = value.detach().cpu(), starts.diff()
        if last:
            rows = rows.movedim(-1, 0)
        if bool(added.any()):
            rows = rows - added.repeat_interleave(lengths).to(rows.dtype).view(-1, *[1] * (rows.dim() - 1))
        fields[name] = ("last" if last else "first"), rows, lengths.numpy()
    if hasattr(batch._store, "_num_nodes"):
        number = torch.tensor(batch._store._num_nodes, dtype=torch.int64)
        fields["num_nodes"] = "int", number, np.ones(len(number), dtype=np.int64)
    return fields
