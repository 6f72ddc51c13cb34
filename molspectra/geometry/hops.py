"""Numbers of bonds between pairs of atoms, on any device."""

import torch
from jaxtyping import Int
from torch import Tensor

from molspectra._validation import check_bonds, check_tensors
from molspectra.geometry.bonds import bond_graph


def hop_counts(
    bond_index: Int[Tensor, "2 bonds"], edge_index: Int[Tensor, "2 edges"], num_atoms: int, max_hops: int
) -> Int[Tensor, " edges"]:
    """Count the bonds on the shortest path between the two atoms of each edge, up to `max_hops`.

    A breadth-first search starts from all atoms at once and advances by one bond per step. Time and memory grow with
    the number of pairs at most `max_hops` bonds apart. The compiler sees one opaque operator.

    Args:
        bond_index: Bonds, (2, B), each once or in both directions. B may be 0.
        edge_index: Pairs of atoms, (2, E).
        num_atoms: Number of atoms N.
        max_hops: Length of the longest path to search for.

    Returns:
        Path lengths (E,), from 1 to `max_hops`. Pairs that are farther apart or not connected, and atoms paired with
        themselves, get 0.

    Raises:
        TypeError: `bond_index` is not int64.
        ValueError: `max_hops` is less than 1, `bond_index` is not (2, B), or (checked for CPU tensors) it contains an
            atom outside 0..N-1.

    Example:
        >>> chain = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> hop_counts(chain, torch.tensor([[0, 2, 3], [1, 0, 0]]), num_atoms=4, max_hops=2)
        tensor([1, 2, 0])
    """
    check_tensors(bond_index=bond_index, edge_index=edge_index)
    if max_hops < 1:
        raise ValueError(f"max_hops must be at least 1; got {max_hops}.")
    check_bonds(bond_index, num_atoms)
    # As the size of a tensor: torch.jit.trace would write a number down as that of the example.
    return _hop_counts(bond_index, edge_index, bond_index.new_empty(num_atoms), max_hops)


@torch.library.custom_op("molspectra::hop_counts", mutates_args=())
def _hop_counts(bond_index: Tensor, edge_index: Tensor, atoms: Tensor, max_hops: int) -> Tensor:
    num_atoms = atoms.shape[0]
    hops = edge_index.new_zeros(edge_index.shape[1])
    edges = _key(edge_index[0], edge_index[1], num_atoms)
    second, first = bond_graph(bond_index, num_atoms)
    # Compressed rows of the adjacency matrix: the neighbors of atom a begin at bonds_before[a] in `second`.
    degree = edges.new_zeros(num_atoms).scatter_add_(0, first, torch.ones_like(first))
    bonds_before = degree.cumsum(0) - degree

    # Pairs (start, end) reached so far, and those reached in the last step, both as keys.
    itself = torch.arange(num_atoms, device=edges.device)
    reached = frontier = _key(itself, itself, num_atoms)
    for hop in range(1, max_hops + 1):
        # Extend every path of the last step by each bond of its end.
        start, end = _atoms(frontier, num_atoms)
        branches = degree[end]
        start = start.repeat_interleave(branches)
        rank = torch.arange(start.shape[0], device=start.device)
        rank = rank + (bonds_before[end] - branches.cumsum(0) + branches).repeat_interleave(branches)
        # Pairs reached for the first time are `hop` bonds apart.
        walked = _key(start, second[rank], num_atoms).unique()
        frontier = walked[~torch.isin(walked, reached)]
        if frontier.shape[0] == 0:
            break
        reached = torch.cat([reached, frontier])
        # The frontier is sorted, so each edge is looked up by bisection.
        place = torch.searchsorted(frontier, edges).clamp(max=frontier.shape[0] - 1)
        hops += hop * (frontier[place] == edges)
    return hops


@_hop_counts.register_fake
def _(bond_index: Tensor, edge_index: Tensor, atoms: Tensor, max_hops: int) -> Tensor:
    return edge_index.new_empty(edge_index.shape[1])


def _key(first: Tensor, second: Tensor, num_atoms: int) -> Tensor:
    """Return one integer per pair of atoms, ascending by the first atom."""
    return first * num_atoms + second


def _atoms(key: Tensor, num_atoms: int) -> tuple[Tensor, Tensor]:
    """Return the pairs of atoms of these keys."""
    return key // num_atoms, key % num_atoms
