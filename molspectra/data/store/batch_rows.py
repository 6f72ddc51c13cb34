"""Rows of a whole batch, for a writer that need not take it apart molecule by molecule."""

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from molspectra.data._pyg import structure_of


def rows_of_batch(batch: Batch) -> dict[str, tuple[str, Tensor, np.ndarray]] | None:
    """Convert every field of a batch as `to_rows` does: kind, rows of all molecules end to end, rows per molecule.

    The molecules are those of `batch.to_data_list()`, in which a number is a tensor of one entry.

    Returns:
        Field → kind, rows and lengths, or None if a field is not a simple concatenation. Then the batch must be taken
        apart.

    Raises:
        ValueError: the batch does not know its molecules, or a field was added to it later.
    """
    structure = structure_of(batch)
    if structure is None:
        raise ValueError(
            "A batch to be stored must know its molecules; this one was not made by Batch.from_data_list or "
            "MoleculeStore.batch. Make it so, or store single molecules."
        )
    added = set(batch.keys()) - structure.slices.keys() - {"batch", "ptr", "num_nodes"}
    if added:
        raise ValueError(
            f"Fields {sorted(added)} were added to a batch after it was made, and do not say what belongs to which "
            "molecule. Add them to the molecules, or take them off the batch with del batch[name]."
        )
    fields = {}
    for name, starts in structure.slices.items():
        if name not in batch:
            continue
        value, increments = batch[name], structure.increments[name]
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            texts = [text.encode() for text in value]
            characters = torch.tensor(list(b"".join(texts)), dtype=torch.uint8)
            fields[name] = "text", characters, np.array([len(text) for text in texts])
            continue
        rows = _rows(batch, name, starts, increments)
        if rows is None:
            return None
        fields[name] = ("last" if "index" in name else "first"), rows, starts.diff().numpy()
    if structure.num_nodes is not None:
        number = torch.tensor(structure.num_nodes, dtype=torch.int64)
        fields["num_nodes"] = "int", number, np.ones(len(number), dtype=np.int64)
    return fields


def _rows(batch: Batch, name: str, starts: Tensor, increments: Tensor | None) -> Tensor | None:
    """Return the rows of a tensor field as its molecules have them, or None for other fields."""
    value, last = batch[name], "index" in name
    if not isinstance(value, Tensor) or batch.__cat_dim__(name, value) != (-1 if last else 0):
        return None
    if increments is None or increments.dim() != 1:
        return None
    rows = value.detach().cpu()
    if last:
        rows = rows.movedim(-1, 0)
    if bool(increments.any()):  # atoms are numbered within the batch: number them within the molecule again
        shift = increments.repeat_interleave(starts.diff()).to(rows.dtype)
        rows = rows - shift.view(-1, *[1] * (rows.dim() - 1))
    return rows
