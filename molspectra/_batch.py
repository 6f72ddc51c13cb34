"""What a noise or a method asks of a `Data` or a `Batch`, whichever it is given."""

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data


def num_molecules_of(data: Data) -> int:
    """1 for a `Data`; for a `Batch` what it knows; else, of a `Data` with a field `batch`, read off the device."""
    if isinstance(data, Batch):
        return data.num_graphs
    return 1 if data.batch is None else int(data.batch[-1]) + 1


def molecule_of(data: Data) -> Tensor:
    """The molecule of each atom, (N,)."""
    if data.batch is not None:
        return data.batch
    return torch.zeros(data.pos.shape[0], dtype=torch.int64, device=data.pos.device)
