"""Batches cut from the columns of a store, equal to those that `Batch.from_data_list` makes of its molecules."""

import itertools
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from molspectra.data._pyg import BatchStructure, make_batch
from molspectra.data.store.columns import Column, Rows, boundaries
from molspectra.data.store.layout import Layout

# Fields with one row per atom, from which torch_geometric infers the number of atoms, and `z`, from which it does not.
_PER_ATOM = ("x", "feat", "pos", "node_type", "n_id", "z")


class _Gather:
    """Rows of the requested molecules, looked up once for all columns that share their offsets."""

    def __init__(self, indices: np.ndarray) -> None:
        self.indices = indices
        # Consecutive molecules are one slice of each file, which is copied several times faster than a gather.
        self._consecutive = len(indices) > 0 and int(indices[-1] - indices[0]) == len(indices) - 1
        self._consecutive = self._consecutive and bool((indices[1:] - indices[:-1] == 1).all())
        self._found: dict[int, Rows] = {}

    def rows(self, column: Column) -> Rows:
        if column.spacing not in self._found:
            self._found[column.spacing] = column.rows(self.indices, self._consecutive)
        return self._found[column.spacing]

    def take(self, name: str, column: Column, one_each: Tensor) -> tuple[Tensor, np.ndarray, Tensor] | None:
        """Copy a field of all molecules: value, rows per molecule, boundaries, or None if all of them lack it."""
        present = column.present(self.indices)
        if column.layout.kind == "table":
            rows = self.rows(column)
            return (column.take_tables(rows), np.ones_like(self.indices), one_each) if _any(present) else None
        if present is None:
            rows = self.rows(column)
            return column.take(rows), rows.lengths, rows.slices
        if column.is_one_float_row:
            return column.take_or_nan(self.indices, present), np.ones_like(self.indices), one_each
        if present.any():
            raise _missing(name, self.indices, present)
        return None


def cut_batch(columns: Mapping[str, Column], indices: np.ndarray, exclude_keys: Collection[str]) -> Batch:
    """Cut a batch of molecules, without a Python object for each.

    Args:
        columns: Name of each field → its column.
        indices: Numbers of the molecules, (M,) int64, all in range.
        exclude_keys: Fields to leave out.

    Returns:
        The batch.

    Raises:
        ValueError: a field is missing in some of the molecules and no value can stand for it, or torch_geometric
            batches fields of its name by a rule of its own.
    """
    gather = _Gather(indices)
    atoms = _atom_boundaries(columns, gather)
    # Fields share these tensors, and those of equal rows: less to make, and less for loader workers to send.
    one_each, no_increments = torch.arange(len(indices) + 1), torch.zeros(len(indices), dtype=torch.int64)
    fields: dict[str, Any] = {}
    slices: dict[str, Tensor] = {}
    increments: dict[str, Tensor | None] = {}
    num_nodes: list[int] | None = None
    for name, column in columns.items():
        if name in exclude_keys:
            continue
        kind = column.layout.kind
        _check_name(name, column.layout)
        taken = gather.take(name, column, one_each)
        if taken is None:
            continue  # torch_geometric leaves it out as well
        value, lengths, starts = taken
        if name == "num_nodes":
            num_nodes = value.tolist()
            fields[name] = sum(num_nodes)
            continue
        if kind == "text":
            fields[name], slices[name], increments[name] = _texts(value, starts), one_each, None
            continue
        if kind == "float":
            value = value.to(torch.float32)  # as PyG makes tensors of Python floats
        slices[name], increments[name] = starts, no_increments
        if "index" in name:
            increments[name] = _increments(name, atoms)
            value = _offset(value.movedim(0, -1), _increments(name, atoms), lengths)
        fields[name] = value
    if atoms is not None:
        fields["batch"] = torch.from_numpy(np.arange(len(indices)).repeat(np.diff(atoms.numpy())))
        fields["ptr"] = atoms.clone()
    return make_batch(fields, BatchStructure(slices, increments, num_nodes), len(indices))


def atom_counts(columns: Mapping[str, Column], num_molecules: int) -> np.ndarray | None:
    """Read the number of atoms of each molecule, (M,) int64, from offsets, or None if no field has one row per atom."""
    column = _column_of_atoms(columns, slice(num_molecules))
    if column is None:
        return None
    if column.layout.kind == "int":  # num_nodes
        return column.take(column.rows(np.arange(num_molecules), consecutive=True)).numpy()
    return column.lengths(num_molecules)


def _column_of_atoms(columns: Mapping[str, Column], indices: np.ndarray | slice) -> Column | None:
    """Find the field from which the number of atoms of these molecules follows."""
    if "num_nodes" in columns and columns["num_nodes"].present(indices) is None:
        return columns["num_nodes"]
    for name, column in columns.items():
        per_atom = (name in _PER_ATOM or "node" in name) and column.layout.kind in ("first", "last")
        if per_atom and column.present(indices) is None:
            return column
    return None


def _atom_boundaries(columns: Mapping[str, Column], gather: _Gather) -> Tensor | None:
    """Return the first atom of each molecule in the batch and the number of all atoms, (M + 1,)."""
    column = _column_of_atoms(columns, gather.indices)
    if column is None:
        return None
    rows = gather.rows(column)
    is_number = column.layout.kind == "int"  # num_nodes
    return torch.from_numpy(boundaries(column.take(rows).numpy())) if is_number else rows.slices


def _any(present: np.ndarray | None) -> bool:
    return present is None or bool(present.any())


def _texts(characters: Tensor, slices: Tensor) -> list[str]:
    text, starts = characters.numpy().tobytes(), slices.tolist()
    return [text[start:end].decode() for start, end in itertools.pairwise(starts)]


def _increments(name: str, atoms: Tensor | None) -> Tensor:
    if atoms is None:
        raise ValueError(
            f"{name} is offset by the number of atoms, which no field tells; expected one of {list(_PER_ATOM)} "
            "in every molecule. Store num_nodes with the molecules, one int each."
        )
    return atoms[:-1]


def _offset(value: Tensor, increments: Tensor, lengths: np.ndarray) -> Tensor:
    """Add its increment to the entries of each molecule along the last axis, with PyG's dtype promotion."""
    if len(increments) == 0 or int(increments[-1]) == 0:
        return value.contiguous()
    dtype = torch.result_type(value, increments[0])
    added = torch.from_numpy(increments.numpy().repeat(lengths)).to(dtype)
    return torch.add(value.to(dtype), added, out=torch.empty(value.shape, dtype=dtype))


def _check_name(name: str, layout: Layout) -> None:
    """Refuse names that torch_geometric batches by rules of its own."""
    own_rule = name in ("batch", "face", "ptr") or (name == "num_nodes" and layout.kind != "int")
    if own_rule or ("batch" in name and layout.kind in ("first", "last", "scalar")):
        raise ValueError(
            f"{name} is a name that torch_geometric batches by a rule of its own, which a store does not know. Leave "
            f"the field out with exclude_keys=[{name!r}], or rename it before it is stored."
        )


def _missing(name: str, indices: np.ndarray, present: np.ndarray) -> ValueError:
    return ValueError(
        f"{name} is missing in {(~present).sum()} of {len(present)} molecules, such as {indices[~present][0]}; "
        "expected it in all of a batch or in none, since only a field with one row of floating-point numbers per "
        "molecule (a spectrum, a label) can be NaN instead. Leave it out with "
        f"exclude_keys=[{name!r}], or store it in all."
    )
