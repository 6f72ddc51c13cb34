"""Bonds as edges of a graph."""

import torch
from jaxtyping import Int
from torch import Tensor

from molspectra._validation import check_bonds


def bond_graph(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> Int[Tensor, "2 edges"]:
    """Return the bonds as directed edges, in both directions, each once, sorted by target and then by source.

    The compiler sees one opaque operator.

    Args:
        bond_index: Bonds (2, B), each once or in both directions. B may be 0.
        num_atoms: Number of atoms N.

    Returns:
        Rows [source, target], (2, E).

    Raises:
        TypeError: `bond_index` is not int64.
        ValueError: `bond_index` is not (2, B), or (checked for CPU tensors) contains an atom outside 0..N-1.

    Example:
        >>> bond_graph(torch.tensor([[0, 1], [1, 2]]), num_atoms=3)
        tensor([[1, 0, 2, 1],
                [0, 1, 1, 2]])
    """
    check_bonds(bond_index, num_atoms)
    # As the size of a tensor: torch.jit.trace would write a number down as that of the example.
    return _bond_graph(bond_index, bond_index.new_empty(num_atoms))


@torch.library.custom_op("molspectra::bond_graph", mutates_args=())
def _bond_graph(bond_index: Tensor, atoms: Tensor) -> Tensor:
    num_atoms = atoms.shape[0]
    source, target = torch.cat([bond_index, bond_index.flip(0)], dim=1)
    # One integer per edge, so that sorting and removing duplicates is one operation.
    key = (target * num_atoms + source).unique()
    return torch.stack([key % num_atoms, key // num_atoms])


@_bond_graph.register_fake
def _(bond_index: Tensor, atoms: Tensor) -> Tensor:
    # The number of edges depends on the values: symbolic to the compiler.
    edges = torch.library.get_ctx().new_dynamic_size()
    return bond_index.new_empty(2, edges)
