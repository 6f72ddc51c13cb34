"""Molecules that several benchmarks see."""

import torch
from torch_geometric.data import Data

import molspectra as ms


def sample(number: int) -> list[Data]:
    """Random molecules of MiniSpectra, the same in every process; again from the first where there are too few."""
    molecules = ms.data.MiniSpectra("train")
    order = torch.randperm(len(molecules), generator=torch.Generator().manual_seed(0)).tolist()
    return [molecules[order[index % len(order)]] for index in range(number)]
