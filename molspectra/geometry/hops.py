"""How many bonds apart two atoms are, for lists of pairs on any device."""

import torch
from jaxtyping import Int
from torch import Tensor

from molspectra._validation import check_bonds
from molspectra.geometry.bonds import bond_graph


def hop_counts(
    bond_index: Int[Tensor, "2 bonds"], edge_index: Int[Tensor, "2 edges"], num_atoms: int, max_hops: int
) -> Int[Tensor, " edges"]:
    """Number of bonds on the shortest path between the two atoms of each edge, where it is at most `max_hops`.

    All atoms are walked from at once, one bond further in each step, so that time and memory grow with the number of
    pairs at most `max_hops` bonds apart. Inside a compiled graph this is one opaque operator.

    Args:
        bond_index: Bonds, (2, B), each once or in both directions; there may be none.
        edge_index: Pairs of atoms, (2, E).
        num_atoms: Number of atoms N.
        max_hops: Length of the longest path that is looked for.

    Returns:
        Path lengths (E,), from 1 to `max_hops`; 0 for atoms that are further apart or not connected at all, and for an
        atom paired with itself.

    Raises:
        TypeError: `bond_index` is not int64.
        ValueError: `max_hops` is less than 1, `bond_index` is not (2, B), or (seen on the CPU only) it names atoms that
            there are not.

    Example:
        >>> chain = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> hop_counts(chain, torch.tensor([[0, 2, 3], [1, 0, 0]]), num_atoms=4, max_hops=2)
        tensor([1, 2, 0])
    """
    if max_hops < 1:
        raise ValueError(f"max_hops must be at least 1; got {max_hops}.")
    check_bonds(bond_index, num_atoms)
    return _hop_counts(bond_index, edge_index, num_atoms, max_hops)


@torch.library.custom_op("molspectra::hop_counts", mutates_args=())
def _hop_counts(bond_index: Tensor, edge_index: Tensor, num_atoms: int, max_hops: int) -> Tensor:
    hops = edge_index.new_zeros(edge_index.shape[1])
    edges = _key(edge_index[0], edge_index[1], num_atoms)
    second, first = bond_graph(bond_index, num_atoms)
    degree = edges.new_zeros(num_atoms).scatter_add_(0, first, torch.ones_like(first))
    bonds_before = degree.cumsum(0) - degree

    itself = torch.arange(num_atoms, device=edges.device)
    reached = frontier = _key(itself, itself, num_atoms)
    for hop in range(1, max_hops + 1):
        start, end = _atoms(frontier, num_atoms)
        branches = degree[end]
        start = start.repeat_interleave(branches)
        rank = torch.arange(start.shape[0], device=start.device)
        rank = rank + (bonds_before[end] - branches.cumsum(0) + branches).repeat_interleave(branches)
        walked = _key(start, second[rank], num_atoms).unique()
        frontier = walked[~torch.isin(walked, reached)]
        if frontier.shape[0] == 0:
            break
        reached = torch.cat([reached, frontier])
        place = torch.searchsorted(frontier, edges).clamp(max=frontier.shape[0] - 1)
        hops += hop * (frontier[place] == edges)
    return hops


@_hop_counts.register_fake
def _(bond_index: Tensor, edge_index: Tensor, num_atoms: int, max_hops: int) -> Tensor:
    return edge_index.new_empty(edge_index.shape[1])


def _key(first: Tensor, second: Tensor, num_atoms: int) -> Tensor:
    """A number for each pair of atoms, ascending by the first one."""
    return first * num_atoms + second


def _atoms(key: Tensor, num_atoms: int) -> tuple[Tensor, Tensor]:
    """The pair of atoms that `_key` made a number of."""
    return key // num_atoms, key % num_atoms
