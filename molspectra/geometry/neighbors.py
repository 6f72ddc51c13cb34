"""Batched neighbor lists: exact, untruncated, in a fixed order."""

import numbers
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._validation import check_tensor, check_tensors, values_are_free

# Candidate pairs per block. Bounds the memory for large molecules to about 100 MB beyond the edges themselves.
_PAIRS_AT_ONCE = 1 << 21
# Squared distance in Å² below which a pair has no direction. Derivatives of a direction grow as 1/r, and their products
# must not overflow in float32.
_COINCIDENT = 1e-12


def radius_graph(
    pos: Float[Tensor, "atoms 3"], batch: Int[Tensor, " atoms"] | None, cutoff: float, loop: bool = False
) -> Int[Tensor, "2 edges"]:
    """Find all ordered pairs of atoms of one molecule that are closer than `cutoff`.

    No neighbor is ever dropped. Edges are sorted by target, then by source, so that equal input gives equal order on
    every device. Candidates are the pairs within a molecule, enumerated in blocks: time grows with Σ nₘ² over
    molecules, memory with the number of edges. The compiler sees one opaque operator.

    Args:
        pos: Positions in Å, (N, 3).
        batch: Molecule of each atom, (N,), sorted, or None for one molecule.
        cutoff: Distance in Å. Pairs with |x_j - x_i| < cutoff (strictly) are edges.
        loop: Include each atom as its own neighbor.

    Returns:
        `edge_index` (2, E), rows [source, target].

    Raises:
        ValueError: `cutoff` is not positive, or `batch` is not sorted (checked for CPU tensors).

    Example:
        >>> radius_graph(torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [9.0, 0, 0]]), None, cutoff=2.0)
        tensor([[1, 0],
                [0, 1]])
    """
    batch = _checked_batch(pos, batch, cutoff)
    return _radius_graph(pos.detach(), batch, float(cutoff), loop, False)


def half_neighbor_list(
    pos: Float[Tensor, "atoms 3"], batch: Int[Tensor, " atoms"] | None, cutoff: float
) -> Int[Tensor, "2 pairs"]:
    """Find all pairs of atoms i < j of one molecule that are closer than `cutoff`, each once.

    This is half of :func:`radius_graph`. Functions of the distance alone are then computed once per pair rather than
    once per direction. Pairs are sorted by i, then by j.

    Args:
        pos: Positions in Å, (N, 3).
        batch: Molecule of each atom, (N,), sorted, or None for one molecule.
        cutoff: Distance in Å. Pairs with |x_j - x_i| < cutoff (strictly) are listed.

    Returns:
        Atoms i and j of each pair, (2, P).

    Raises:
        ValueError: see :func:`radius_graph`.

    Example:
        >>> half_neighbor_list(torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [9.0, 0, 0]]), None, cutoff=2.0)
        tensor([[0],
                [1]])
    """
    batch = _checked_batch(pos, batch, cutoff)
    return _radius_graph(pos.detach(), batch, float(cutoff), False, True)


def edge_geometry(
    pos: Float[Tensor, "atoms 3"], edge_index: Int[Tensor, "2 edges"]
) -> tuple[Float[Tensor, " edges"], Float[Tensor, "edges 3"]]:
    """Compute length and direction of each edge, from its target i to its source j.

    Where the two atoms coincide to 10⁻⁶ Å, as in a self-loop, length and direction are 0 and all derivatives are
    finite. Derivatives of a direction grow without bounds as two atoms approach.

    Args:
        pos: Positions in Å, (N, 3).
        edge_index: Rows [source, target], (2, E).

    Returns:
        Distances r_ij = |x_j - x_i| in Å, (E,), and unit vectors (x_j - x_i) / r_ij, (E, 3).
    """
    check_tensors(pos=pos, edge_index=edge_index)
    source, target = edge_index
    dtype = pos.dtype
    pos = pos.to(torch.promote_types(dtype, torch.float32))  # squares of distances leave the range of float16
    displacement = pos.index_select(0, source) - pos.index_select(0, target)
    square = displacement.square().sum(dim=-1)
    coincident = square < _COINCIDENT
    # Both branches of a `where` are differentiated, so the unused one must be finite, too: √1 in place of √0.
    distance = torch.sqrt(torch.where(coincident, 1.0, square))
    direction = displacement / distance.unsqueeze(-1)
    return torch.where(coincident, 0.0, distance).to(dtype), direction.to(dtype)


def _checked_batch(pos: Tensor, batch: Tensor | None, cutoff: float) -> Tensor:
    check_tensor("pos", pos)
    if not isinstance(cutoff, numbers.Real | Tensor):
        raise TypeError(f"cutoff must be a number (Å); got {cutoff!r:.80}.")
    if not cutoff > 0:
        raise ValueError(f"cutoff must be positive (Å); got {cutoff}.")
    if batch is None:
        return torch.zeros(pos.shape[0], dtype=torch.int64, device=pos.device)
    check_tensor("batch", batch)
    if values_are_free(batch) and bool((batch[1:] < batch[:-1]).any()):
        raise ValueError("batch must be sorted, the atoms of a molecule together. Sort the atoms by batch first.")
    return batch


@torch.library.custom_op("molspectra::radius_graph", mutates_args=())
def _radius_graph(pos: Tensor, batch: Tensor, cutoff: float, loop: bool, once: bool) -> Tensor:
    """Return [source, target] of all edges or, if `once`, [i, j] of all pairs i < j."""
    if pos.shape[0] == 0:
        return batch.new_empty(2, 0)
    # Targets are atoms, and the candidate sources of a target are consecutive atoms, starting at `first`.
    _, molecule, sizes = torch.unique_consecutive(batch, return_inverse=True, return_counts=True)
    first = (sizes.cumsum(0) - sizes)[molecule]  # first atom of each atom's molecule
    candidates = sizes[molecule]  # number of candidate sources of each target
    if once:  # sources follow their target
        after = torch.arange(1, pos.shape[0] + 1, device=pos.device)
        first, candidates = after, first + candidates - after
    pairs_up_to = candidates.cumsum(0)
    before = pairs_up_to - candidates  # candidate pairs before each target's
    blocks = []
    for start, stop, num_pairs in _blocks(pairs_up_to):
        targets = torch.arange(start, stop, device=pos.device)
        target = targets.repeat_interleave(candidates[start:stop], output_size=num_pairs)
        rank = torch.arange(target.shape[0], device=pos.device) - (before[target] - before[start])
        source = first[target] + rank
        # Negated rather than `<`: an atom at NaN must keep its edges and show in the loss, not pass as a lone atom.
        near = ~((pos[source] - pos[target]).square().sum(dim=-1) >= cutoff * cutoff)
        if not loop and not once:
            near &= source != target
        blocks.append(torch.stack([target, source] if once else [source, target])[:, near])
    return torch.cat(blocks, dim=1)


@_radius_graph.register_fake
def _(pos: Tensor, batch: Tensor, cutoff: float, loop: bool, once: bool) -> Tensor:
    # The number of edges depends on the positions: symbolic to the compiler.
    edges = torch.library.get_ctx().new_dynamic_size()
    return batch.new_empty(2, edges)


@_radius_graph.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], pos: Tensor, batch: Tensor, cutoff: float, loop: bool, once: bool
) -> tuple[Tensor, int | None]:
    size = info.batch_size
    each_pos = [pos] * size if in_dims[0] is None else pos.unbind(in_dims[0])
    each_batch = [batch] * size if in_dims[1] is None else batch.unbind(in_dims[1])
    graphs = [_radius_graph(*atoms, cutoff, loop, once) for atoms in zip(each_pos, each_batch, strict=True)]
    if all(torch.equal(graph, graphs[0]) for graph in graphs[1:]):
        return graphs[0], None
    sizes = {graph.shape[1] for graph in graphs}
    if len(sizes) > 1:
        raise ValueError(
            "torch.vmap over positions needs equally many neighbors in all samples, as their tensors are stacked; got "
            f"{sorted(sizes)} edges. Put the molecules into one batch instead: encoder(z, pos, batch)."
        )
    return torch.stack(graphs), 0


def _blocks(pairs_up_to: Tensor) -> list[tuple[int, int, int]]:
    """Split targets into ranges [start, stop) of at most `_PAIRS_AT_ONCE` candidate pairs, whose number comes third.

    A target with more candidates than this gets a range of its own.
    """
    num_atoms, total = pairs_up_to.shape[0], int(pairs_up_to[-1])
    if total <= _PAIRS_AT_ONCE:
        return [(0, num_atoms, total)]
    ends = pairs_up_to.cpu()
    blocks, start, done = [], 0, 0
    while start < num_atoms:
        stop = max(start + 1, int(torch.searchsorted(ends, done + _PAIRS_AT_ONCE, right=True)))
        up_to = int(ends[stop - 1])
        blocks.append((start, stop, up_to - done))
        start, done = stop, up_to
    return blocks
