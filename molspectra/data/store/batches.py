"""Batches cut from the columns of a store, equal to those that `Batch.from_data_list` makes of its molecules."""

import itertools
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from molspectra.data.store.columns import Column, Rows, ends
from molspectra.data.store.layout import Layout

# Fields with a row for each atom, where torch_geometric looks for their number; and `z`, where it does not.
_OF_ATOMS = ("x", "feat", "pos", "node_type", "n_id", "z")
_BATCH = type(Batch())


def cut_batch(columns: Mapping[str, Column], indices: np.ndarray, exclude_keys: Collection[str]) -> Batch:
    """A batch of molecules, without a Python object for each.

    Args:
        columns: Name of each field → its column.
        indices: Which molecules, (M,) int64, all of them there.
        exclude_keys: Fields to leave out.

    Raises:
        ValueError: a field is missing in some of the molecules and has no value that says so, or its name alone does
            not tell how it is batched.
    """
    num_graphs = len(indices)
    consecutive = num_graphs > 0 and int(indices[-1] - indices[0]) == num_graphs - 1
    consecutive = consecutive and bool((indices[1:] - indices[:-1] == 1).all())
    found: dict[int, Rows] = {}

    def rows_of(column: Column) -> Rows:
        spacing = column.spacing
        if spacing not in found:
            found[spacing] = column.rows(indices, consecutive)
        return found[spacing]

    atoms = None
    if (column_of_atoms := _column_of_atoms(columns, indices)) is not None:
        rows = rows_of(column_of_atoms)
        is_number = column_of_atoms.layout.kind == "int"
        atoms = torch.from_numpy(ends(column_of_atoms.take(rows).numpy())) if is_number else rows.slices
    # Shared by all fields that they fit, as are those of rows: less to make, and for the workers of a loader to send.
    one_each, no_increments = torch.arange(num_graphs + 1), torch.zeros(num_graphs, dtype=torch.int64)
    batch = _empty_batch()
    fields: dict[str, Any] = {}
    slices: dict[str, Tensor] = {}
    increments: dict[str, Tensor | None] = {}
    for name, column in columns.items():
        if name in exclude_keys:
            continue
        kind = column.layout.kind
        _check_name(name, column.layout)
        present = column.present(indices)
        if present is None:
            rows = rows_of(column)
            value, lengths, starts = column.take(rows), rows.lengths, rows.slices
        elif column.is_one_float_row:
            value, lengths, starts = column.take_or_nan(indices, present), np.ones_like(indices), one_each
        elif present.any():
            raise _missing(name, indices, present)
        else:
            continue  # as torch_geometric leaves it out
        if name == "num_nodes":
            batch._store._num_nodes = value.tolist()
            fields[name] = sum(batch._store._num_nodes)
            continue
        if kind == "text":
            fields[name], slices[name], increments[name] = _texts(value, starts), one_each, None
            continue
        if kind == "float":
            value = value.to(torch.get_default_dtype())  # as torch.tensor of Python floats
        slices[name], increments[name] = starts, no_increments
        if "index" in name:
            if atoms is None:
                raise ValueError(
                    f"{name} is offset by the number of atoms, which no field tells; expected one of {list(_OF_ATOMS)} "
                    "in every molecule. Store num_nodes with the molecules, an int each."
                )
            increments[name] = atoms[:-1]
            value = _offset(value.movedim(0, -1), atoms[:-1], lengths)
        fields[name] = value
    if atoms is not None:
        fields["batch"] = torch.from_numpy(np.arange(num_graphs).repeat(np.diff(atoms.numpy())))
        fields["ptr"] = atoms.clone()
    batch._store._mapping.update(fields)  # assigned one by one, each would be looked up in caches that are empty
    batch._num_graphs, batch._slice_dict, batch._inc_dict = num_graphs, slices, increments
    return batch


def atom_counts(columns: Mapping[str, Column], num_molecules: int) -> np.ndarray | None:
    """How many atoms each molecule of the store has, (M,) int64, from offsets alone; None if no field tells."""
    column = _column_of_atoms(columns, slice(num_molecules))
    if column is None:
        return None
    if column.layout.kind == "int":  # num_nodes
        return column.take(column.rows(np.arange(num_molecules), consecutive=True)).numpy()
    return column.lengths(num_molecules)


def _column_of_atoms(columns: Mapping[str, Column], indices: np.ndarray | slice) -> Column | None:
    """The field that tells how many atoms these molecules have."""
    if "num_nodes" in columns and columns["num_nodes"].present(indices) is None:
        return columns["num_nodes"]
    for name, column in columns.items():
        a_row_each = (name in _OF_ATOMS or "node" in name) and column.layout.kind in ("first", "last")
        if a_row_each and column.present(indices) is None:
            return column
    return None


def _empty_batch() -> Batch:
    # torch_geometric makes a class and looks at signatures whenever Batch is called: half the time of a small batch.
    batch: Batch = type.__call__(_BATCH)
    return batch


def _texts(characters: Tensor, slices: Tensor) -> list[str]:
    text, starts = characters.numpy().tobytes(), slices.tolist()
    return [text[start:end].decode() for start, end in itertools.pairwise(starts)]


def _offset(value: Tensor, increments: Tensor, lengths: np.ndarray) -> Tensor:
    """Add to what molecules have along the last axis their increments, in the dtype that adding one number gives."""
    if len(increments) == 0 or int(increments[-1]) == 0:
        return value.contiguous()
    dtype = torch.result_type(value, increments[0])
    added = torch.from_numpy(increments.numpy().repeat(lengths)).to(dtype)
    return torch.add(value.to(dtype), added, out=torch.empty(value.shape, dtype=dtype))


def _check_name(name: str, layout: Layout) -> None:
    """Refuse what torch_geometric batches by rules of its own."""
    of_its_own = name in ("batch", "face", "ptr") or (name == "num_nodes" and layout.kind != "int")
    if of_its_own or ("batch" in name and layout.kind in ("first", "last", "scalar")):
        raise ValueError(
            f"{name} is a name that torch_geometric batches by a rule of its own, which a store does not know. Leave "
            f"the field out with exclude_keys=[{name!r}], or rename it before it is stored."
        )


def _missing(name: str, indices: np.ndarray, present: np.ndarray) -> ValueError:
    return ValueError(
        f"{name} is missing in {(~present).sum()} of {len(present)} molecules, such as {indices[~present][0]}; "
        "expected it in all of a batch or in none, since only a field with one row of floating-point numbers a "
        "molecule (a spectrum, a label) can be NaN instead. Leave it out with "
        f"exclude_keys=[{name!r}], or store it in all."
    )
