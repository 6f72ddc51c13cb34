"""Pairs of consecutive edges, between which angles are measured."""

from typing import Any

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


@edge_pairs.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], edge_index: Tensor, atoms: Tensor) -> tuple[Tensor, int | None]:
    if in_dims[1] is not None:  # read for its number of rows alone
        atoms = atoms.select(in_dims[1], 0)
    if in_dims[0] is None:
        return edge_pairs(edge_index, atoms), None
    pairs = [edge_pairs(edges, atoms) for edges in edge_index.unbind(in_dims[0])]
    sizes = sorted({each.shape[1] for each in pairs})
    if len(sizes) > 1:
        raise ValueError(
            "torch.vmap over positions needs equally many pairs of edges in all samples, as their tensors are stacked; "
            f"got {sizes} pairs. Put the molecules into one batch instead: encoder(z, pos, batch)."
        )
    return torch.stack(pairs), 0
