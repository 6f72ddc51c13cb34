"""Pairs of consecutive edges, the angles that DimeNet++ reads."""

import torch
from torch import Tensor


# An operator of its own: a graph that torch.compile traces can contain it although the size of its output depends on
# values.
@torch.library.custom_op("molspectra::edge_pairs", mutates_args=())
def edge_pairs(edge_index: Tensor, atoms: Tensor) -> Tensor:
    """Return all pairs of edges k → j and j → i with k ≠ i.

    Args:
        edge_index: Edges (2, E), sorted by target.
        atoms: Any tensor of N rows. torch.jit.trace would write a number down as that of the example.

    Returns:
        Numbers of the edges k → j (row 0) and j → i (row 1) of each pair, (2, T).
    """
    source, target = edge_index
    ends_at = torch.zeros(atoms.shape[0], dtype=torch.int64, device=target.device)
    ends_at.scatter_add_(0, target, torch.ones_like(target))
    first = ends_at.cumsum(0) - ends_at  # of the edges that end at an atom
    # An edge j → i continues every edge that ends at j, and these are consecutive: first[j], first[j] + 1, ….
    candidates = ends_at[source]
    outer = torch.arange(source.shape[0], device=source.device).repeat_interleave(candidates)
    rank = torch.arange(outer.shape[0], device=source.device) - (candidates.cumsum(0) - candidates)[outer]
    inner = first[source][outer] + rank
    # i → j → i is no angle.
    return torch.stack([inner, outer])[:, source[inner] != target[outer]]


@edge_pairs.register_fake
def _(edge_index: Tensor, atoms: Tensor) -> Tensor:
    pairs = torch.library.get_ctx().new_dynamic_size()
    return edge_index.new_empty(2, pairs)
