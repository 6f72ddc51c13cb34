"""Edges of EGNN, and the functions of their initial length that all layers share."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter


class Neighborhood(NamedTuple):
    """Edges and the weights of their messages, which stay as they are while atoms move."""

    edge_index: Int[Tensor, "2 edges"]
    """Rows [source, target]."""
    envelope: Float[Tensor, "edges 1"]
    """C_ij, which damps messages."""
    weight: Float[Tensor, "edges 1"]
    """w_ij, the weights of a mean over neighbors."""
    scale: Float[Tensor, "atoms 1"]
    """s_i, the scale of sums over neighbors."""
    edge_type: Int[Tensor, " edges"] | None
    """Index of the one-hot entry of each edge, if edges have types."""


def make_neighborhood(
    edge_index: Int[Tensor, "2 edges"],
    envelope: Float[Tensor, "edges 1"],
    edge_type: Int[Tensor, " edges"] | None,
    num_atoms: int,
    as_released: bool,
) -> Neighborhood:
    """Compute w_ij and s_i from the envelopes C_ij.

    Args:
        edge_index: Rows [source, target], (2, E).
        envelope: C_ij, (E, 1).
        edge_type: Index of the one-hot entry of each edge, (E,), if edges have types.
        num_atoms: Number of atoms N.
        as_released: Take a plain mean over neighbors, and a plain sum.
    """
    target = edge_index[1]
    count = scatter(envelope, target, dim=0, dim_size=num_atoms, reduce="sum")
    # A neighbor counts by its envelope, so that the mean changes smoothly when it crosses the cutoff. The atom itself
    # counts as one, so that a lone atom does not divide by 0.
    count = count.clamp(min=1) if as_released else count + 1
    weight = envelope / count.index_select(0, target)
    scale = torch.ones_like(count) if as_released else torch.rsqrt(count)
    return Neighborhood(edge_index, envelope, weight, scale, edge_type)
