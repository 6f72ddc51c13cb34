"""What the library says to bad input, in one place: the argument's name, what was expected, what came, the remedy.

Shape and dtype checks cost nothing and always run. Checks of *values* (an atomic number out of range, a NaN) would
make an accelerator wait, so inside a forward they run for CPU tensors only; :func:`molspectra.data.validate` runs them
on any device, once, before training.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data


def values_are_free(tensor: Tensor) -> bool:
    """Whether the values of `tensor` can be looked at without stalling a device or breaking a compiled graph."""
    return not torch.compiler.is_compiling() and tensor.device.type == "cpu"


def check_molecules(z: Tensor, pos: Tensor, batch: Tensor | None, max_z: int = 118, values: bool | None = None) -> None:
    """Refuse atoms that no encoder can make sense of.

    Args:
        z: Atomic numbers, (N,) int64.
        pos: Positions in Å, (N, 3) floating point.
        batch: Molecule of each atom, (N,) int64, sorted; or None for one molecule.
        max_z: Largest atomic number allowed.
        values: Whether to look at values too; by default only where that is free (see `values_are_free`).

    Raises:
        TypeError: a dtype is wrong.
        ValueError: a shape or a value is wrong.
    """
    if z.dim() != 1 or z.dtype != torch.int64:
        raise TypeError(
            f"z must be an int64 tensor of shape (N,), one atomic number an atom; got {z.dtype} of shape "
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
    if not (values_are_free(z) if values is None else values):
        return
    low, high = int(z.min()), int(z.max())
    if low < 1 or high > max_z:
        raise ValueError(
            f"z must lie in 1..{max_z} (atomic numbers); got values from {low} to {high}. "
            "Ghost or masked atoms (0) have no embedding; for heavier elements build the encoder with a larger max_z."
        )
    if not bool(torch.isfinite(pos).all()):
        bad = int((~torch.isfinite(pos)).any(dim=-1).nonzero()[0])
        raise ValueError(
            f"pos must be finite; atom {bad} has position {pos[bad].tolist()}. Drop or repair the molecule."
        )
    if batch is not None and (int(batch[0]) < 0 or bool((batch[1:] < batch[:-1]).any())):
        raise ValueError(
            "batch must be sorted and start at 0 or above: the atoms of a molecule stand together, as "
            "torch_geometric.data.Batch puts them. Sort z, pos and batch by batch (torch.argsort(batch, stable=True))."
        )


def check_bonds(bond_index: Tensor, num_atoms: int, values: bool | None = None) -> None:
    """Refuse what cannot be bonds (2, B) of so many atoms.

    `values` says whether to look at values too; by default only where that is free (see `values_are_free`).

    Raises:
        TypeError: the dtype is wrong.
        ValueError: the shape or a value is wrong.
    """
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
    """Refuse bonds (2, B) by naming the first of those that are `wrong`, (B,).

    Raises:
        ValueError: there are some.
    """
    if bool(wrong.any()):
        bond = int(wrong.nonzero()[0])
        raise ValueError(f"{expected}; got bond {bond} = {tuple(bond_index[:, bond].tolist())}. {remedy}")


def check_spectra(spectra: Mapping[str, Tensor], lengths: Mapping[str, int]) -> None:
    """Refuse spectra that do not fit their axes.

    Args:
        spectra: Kind → intensities, (B, L_kind); a row of NaN is a missing spectrum.
        lengths: Samples expected of each kind.

    Raises:
        ValueError: no kinds, an unknown kind, a wrong shape, different batch sizes, or a row that is neither finite nor
            all NaN (checked for CPU tensors).
    """
    if not spectra:
        raise ValueError(f"spectra is empty; expected at least one of {sorted(lengths)}.")
    batch_sizes = {}
    for kind, spectrum in spectra.items():
        if kind not in lengths:
            raise ValueError(f"Unknown kind of spectrum {kind!r}; expected some of {sorted(lengths)}.")
        if spectrum.dim() != 2 or spectrum.shape[1] != lengths[kind]:
            raise ValueError(
                f"spectra[{kind!r}] must have shape (B, {lengths[kind]}); got {tuple(spectrum.shape)}. Bring it onto "
                "that axis with molspectra.data.resample."
            )
        if values_are_free(spectrum):
            mixed = ~(spectrum.isfinite().all(dim=1) | spectrum.isnan().all(dim=1))
            if bool(mixed.any()):
                row = int(mixed.nonzero()[0])
                raise ValueError(
                    f"spectra[{kind!r}] row {row} mixes NaN or infinite values with finite ones; expected all finite, "
                    "or all NaN for a missing spectrum. Fill the gaps, or set the whole row to NaN."
                )
        batch_sizes[kind] = spectrum.shape[0]
    batch_size = next(iter(batch_sizes.values()))
    # Not by a set: to hash a size is to compile a graph for that size alone.
    if any(size != batch_size for size in batch_sizes.values()):
        raise ValueError(f"spectra must have one batch size; got {batch_sizes}.")
    if batch_size == 0:
        raise ValueError("spectra hold no samples (batch size 0); expected at least one. Skip empty batches.")


def check_dtype(name: str, tensor: Tensor, weight: Tensor) -> None:
    """Refuse input of another floating-point type than the weights, unless autocast takes care of it.

    Raises:
        TypeError: the dtypes differ.
    """
    if tensor.dtype != weight.dtype and not torch.is_autocast_enabled(tensor.device.type):
        raise TypeError(
            f"{name} must be {weight.dtype}, as the weights are; got {tensor.dtype}. Convert the input "
            f"({name}.to({weight.dtype})) or the module (module.to({tensor.dtype}))."
        )


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are not positive, by their name.

    Raises:
        ValueError: one is not.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1; got {size}.")


def add_context(scalars: Tensor, context: Tensor | None) -> Tensor:
    """An encoder's initial scalars (N, F) plus its context, if there is one.

    Raises:
        ValueError: the context has another shape.
    """
    if context is None:
        return scalars
    check_context(context, scalars.shape)
    return scalars + context.to(scalars.dtype)


def check_context(context: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a context that would be broadcast over atoms or channels, or not fit at all.

    Raises:
        ValueError: it has another shape.
    """
    if context.shape != shape:
        raise ValueError(
            f"context is added to the initial scalars, of shape {tuple(shape)}, one row an atom; got "
            f"{tuple(context.shape)}. Repeat a row for each atom of a molecule by context[batch]."
        )


def check_same_shape(predicted: Tensor, target: Tensor) -> None:
    """Refuse a prediction and a target that would be broadcast against each other.

    Raises:
        ValueError: their shapes differ.
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"predicted and target must have the same shape; got {tuple(predicted.shape)} and {tuple(target.shape)}."
        )


def check_std(name: str, value: float, unit: str) -> None:
    """Refuse a standard deviation, or the like, that is negative or not finite.

    Raises:
        ValueError: it is.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must not be negative or infinite ({unit}); got {value}.")


def check_heads(hidden_channels: int, num_heads: int) -> None:
    """Refuse a width that cannot be shared out among attention heads.

    Raises:
        ValueError: `hidden_channels` is not a multiple of `num_heads`.
    """
    if hidden_channels % num_heads:
        raise ValueError(f"hidden_channels must be a multiple of num_heads; got {hidden_channels} and {num_heads}.")


def check_fields(data: Data, fields: Sequence[str], user: str, remedy: str) -> None:
    """Refuse molecules that lack what a noise needs.

    Raises:
        ValueError: a field is missing.
    """
    missing = [field for field in fields if field not in data]
    if missing:
        raise ValueError(f"{user} needs the fields {missing}; the data has {list(data.keys())}. {remedy}")


def check_positions(data: Data, user: str, fields: Sequence[str] = ("pos",)) -> None:
    """Refuse molecules without positions, or whatever else is needed.

    Raises:
        ValueError: one of them is missing.
        TypeError: the positions are not floating point.
    """
    check_fields(data, fields, user, "Set data.z (N,), atomic numbers, and data.pos (N, 3), in Å.")
    if not data.pos.is_floating_point():
        raise TypeError(f"pos must be floating point; got {data.pos.dtype}. Convert with pos.float().")
