"""Sample of molecules that several benchmarks share."""

import torch
from torch_geometric.data import Data

import molspectra as ms


def sample(number: int) -> list[Data]:
    """Return random molecules of MiniSpectra, equal in every process, repeated from the first if too few."""
    molecules = ms.data.MiniSpectra("train")
    order = torch.randperm(len(molecules), generator=torch.Generator().manual_seed(0)).tolist()
    return [molecules[order[index % len(order)]] for index in range(number)]
