"""Checks of bonds."""

import torch
from torch import Tensor

from molspectra._validation.tensors import check_tensor
from molspectra._validation.values import values_are_free


def check_bonds(bond_index: Tensor, num_atoms: int, values: bool | None = None) -> None:
    """Check that a tensor holds bonds between atoms of a molecule or batch.

    Args:
        bond_index: Atoms i and j of each bond, (2, B) int64.
        num_atoms: Number of atoms N.
        values: True to check values as well, by default only where that is free (see `values_are_free`).

    Raises:
        TypeError: the dtype is wrong.
        ValueError: the shape or a value is wrong.
    """
    check_tensor("bond_index", bond_index)
    if bond_index.dtype != torch.int64:
        raise TypeError(f"bond_index must be int64; got {bond_index.dtype}. Convert with bond_index.long().")
    if bond_index.dim() != 2 or bond_index.shape[0] != 2:
        raise ValueError(
            f"bond_index must have shape (2, B), atoms i and j of each bond; got {tuple(bond_index.shape)}. For rows "
            "of pairs use bond_index.t().contiguous(), for no bonds torch.empty(2, 0, dtype=torch.int64)."
        )
    if values_are_free(bond_index) if values is None else values:
        refuse_bonds(
            ((bond_index < 0) | (bond_index >= num_atoms)).any(dim=0),
            bond_index,
            f"bond_index must hold atoms 0..{num_atoms - 1}",
            "Number atoms from 0, within the molecule; torch_geometric.data.Batch offsets them.",
        )


def refuse_bonds(wrong: Tensor, bond_index: Tensor, expected: str, remedy: str) -> None:
    """Refuse bonds (2, B) if some of them are `wrong`, (B,), by naming the first.

    Raises:
        ValueError: a bond is wrong.
    """
    if bool(wrong.any()):
        bond = int(wrong.nonzero()[0])
        raise ValueError(f"{expected}; got bond {bond} = {tuple(bond_index[:, bond].tolist())}. {remedy}")
