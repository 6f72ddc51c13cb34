"""Number and membership of molecules, of a `Data` or a `Batch`."""

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data


def num_molecules_of(data: Data | None) -> int:
    """Return the number of molecules of a `Batch` or a `Data`, and 1 for None and for a `Data` without `batch`.

    A `Batch` knows its number, and a `Data` may state it in a field `num_graphs`. Otherwise it is read from
    `data.batch`, which waits for the device.
    """
    if data is None or data.batch is None:
        return 1
    if isinstance(data, Batch) or "num_graphs" in data:
        return data.num_graphs
    return int(data.batch[-1]) + 1


def of_each_atom(values: Tensor, data: Data) -> Tensor:
    """Return the value of each atom's molecule, (N, ...) of values (B, ...), or (1, ...) for a molecule by itself."""
    return values if data.batch is None else values.index_select(0, data.batch)


def molecule_of(data: Data) -> Tensor:
    """Return the molecule of each atom, (N,)."""
    if data.batch is not None:
        return data.batch
    return torch.zeros(data.pos.shape[0], dtype=torch.int64, device=data.pos.device)
