"""Checks of molecules and of the fields that a part needs."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation.tensors import check_tensor
from molspectra._validation.values import values_are_free


def check_molecules(z: Tensor, pos: Tensor, batch: Tensor | None, max_z: int = 118, values: bool | None = None) -> None:
    """Check that atoms are such that an encoder can encode them.

    Args:
        z: Atomic numbers, (N,) int64.
        pos: Positions in Å, (N, 3) floating point.
        batch: Molecule of each atom, sorted (N,) int64, or None for one molecule.
        max_z: Largest atomic number allowed.
        values: True to check values as well, by default only where that is free (see `values_are_free`).

    Raises:
        TypeError: a dtype is wrong.
        ValueError: a shape or a value is wrong.
    """
    check_tensor("z", z)
    check_tensor("pos", pos)
    if batch is not None:
        check_tensor("batch", batch)
    if z.dim() != 1 or z.dtype != torch.int64:
        raise TypeError(
            f"z must be an int64 tensor of shape (N,), one atomic number per atom; got {z.dtype} of shape "
            f"{tuple(z.shape)}. Convert with z.long()."
        )
    if pos.shape != (z.shape[0], 3):
        raise ValueError(f"pos must have shape ({z.shape[0]}, 3) to match z; got {tuple(pos.shape)}.")
    if not pos.is_floating_point():
        raise TypeError(f"pos must be floating point (Å); got {pos.dtype}. Convert with pos.float().")
    if z.shape[0] == 0:
        raise ValueError("The batch holds no atoms (z is empty); expected at least one. Skip empty batches.")
    if batch is not None and (batch.shape != z.shape or batch.dtype != torch.int64):
        raise ValueError(
            f"batch must be an int64 tensor of shape {tuple(z.shape)} to match z; got {batch.dtype} of shape "
            f"{tuple(batch.shape)}."
        )
    if values_are_free(z) if values is None else values:
        _check_values(z, pos, batch, max_z)


def _check_values(z: Tensor, pos: Tensor, batch: Tensor | None, max_z: int) -> None:
    """Check elements, positions and order of atoms, which waits for the device.

    Raises:
        ValueError: a value is wrong.
    """
    low, high = int(z.min()), int(z.max())
    if low < 1 or high > max_z:
        raise ValueError(
            f"z must lie in 1..{max_z} (atomic numbers); got values from {low} to {high}. Ghost or masked atoms (0) "
            "have no embedding. For heavier elements build the encoder with a larger max_z."
        )
    if not bool(torch.isfinite(pos).all()):
        bad = int((~torch.isfinite(pos)).any(dim=-1).nonzero()[0])
        raise ValueError(
            f"pos must be finite; atom {bad} has position {pos[bad].tolist()}. Drop or repair the molecule."
        )
    if batch is not None and (int(batch[0]) < 0 or bool((batch[1:] < batch[:-1]).any())):
        raise ValueError(
            "batch must be sorted and start at 0 or above, with the atoms of a molecule next to each other, as in "
            "torch_geometric.data.Batch. Sort z, pos and batch by batch (torch.argsort(batch, stable=True))."
        )


def check_fields(data: Data, fields: Sequence[str], user: str, remedy: str) -> None:
    """Check that molecules have all fields that a part needs.

    Args:
        data: A molecule or a batch.
        fields: Names of the fields.
        user: Name of the part, for the message.
        remedy: Way to set the fields, for the message.

    Raises:
        TypeError: `data` holds no molecules.
        ValueError: a field is missing.
    """
    if not isinstance(data, Data):
        raise TypeError(
            f"{user} needs molecules as a torch_geometric Data or Batch; got a {type(data).__name__}. Put several into "
            "one with Batch.from_data_list(molecules), or take batches from a DataLoader."
        )
    missing = [field for field in fields if field not in data]
    if missing:
        raise ValueError(f"{user} needs the fields {missing}; the data has {list(data.keys())}. {remedy}")


def check_molecule_list(name: str, molecules: object) -> None:
    """Refuse what is no list of molecules.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(molecules, Sequence) or (molecules and not isinstance(molecules[0], Data)):
        raise TypeError(
            f"{name} must be a list of molecules, torch_geometric Data; got a {type(molecules).__name__}. A Batch is "
            "one already; single molecules go in a list."
        )


def check_positions(data: Data, user: str, fields: Sequence[str] = ("pos",)) -> None:
    """Check that molecules have floating-point positions, and all other fields that a part needs.

    Raises:
        ValueError: a field is missing.
        TypeError: `data` holds no molecules, or the positions are not floating point.
    """
    check_fields(data, fields, user, "Set data.z (N,), atomic numbers, and data.pos (N, 3), in Å.")
    check_tensor("pos", data.pos)
    if not data.pos.is_floating_point():
        raise TypeError(f"pos must be floating point; got {data.pos.dtype}. Convert with pos.float().")
