"""Fields that only part of the molecules of a batch have: rows of NaN for spectra and labels."""

import copy
import itertools
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

# Fields with a row per atom, which a molecule of one atom cannot be told from one row per molecule.
_PER_ATOM = ("z", "pos", "x", "forces", "formal_charge")


def fill_missing(molecules: Sequence[Data], exclude_keys: Collection[str] = ()) -> list[Data]:
    """Give all molecules the same fields, so that they can be one batch.

    `Batch.from_data_list` takes its fields from the first molecule. It drops those that only the others have, and fails
    on those that another one lacks.

    Args:
        molecules: Molecules of a batch, which are not changed.
        exclude_keys: Fields that the batch leaves out.

    Returns:
        The molecules, where need be as shallow copies with NaN for a spectrum or a label.

    Raises:
        ValueError: a field is missing in part of them and no value can stand for it, or spectra differ in length.
    """
    # Sorted, because the order of the keys of a Data changes from process to process.
    names = sorted(set(itertools.chain.from_iterable(molecule.keys() for molecule in molecules)) - set(exclude_keys))
    filled = list(molecules)
    for name in names:
        present = [molecule[name] for molecule in molecules if name in molecule]
        _check_lengths(name, present)
        if len(present) == len(molecules):
            continue
        nan = _nan_like(name, present)
        if nan is None:
            first = next(index for index, molecule in enumerate(molecules) if name not in molecule)
            raise ValueError(
                f"{name} is missing in {len(molecules) - len(present)} of {len(molecules)} molecules, such as {first}; "
                "expected it in all of a batch or in none, since only a field with one row of floating-point numbers "
                "per molecule (a spectrum, a label) can be NaN instead. Leave it out with "
                f"exclude_keys=[{name!r}], or set it in all."
            )
        for index, molecule in enumerate(molecules):
            if name not in molecule:
                if filled[index] is molecule:
                    filled[index] = copy.copy(molecule)
                filled[index][name] = nan
    return filled


def _nan_like(name: str, present: Sequence[Any]) -> Any:
    """Return NaN in the form of the present values, or None if they are not one row of floating-point numbers."""
    if all(isinstance(value, float) for value in present):
        return float("nan")
    if not all(isinstance(value, Tensor) and value.is_floating_point() for value in present):
        return None
    first = present[0]
    if any(value.shape != first.shape for value in present) or "index" in name or name in _PER_ATOM:
        return None
    return torch.full_like(first, torch.nan) if first.dim() == 0 or first.shape[0] == 1 else None


def _check_lengths(name: str, present: Sequence[Any]) -> None:
    """Check that spectra of one kind have one length.

    Raises:
        ValueError: they differ.
    """
    if not all(isinstance(value, Tensor) and value.dim() == 2 and value.shape[0] == 1 for value in present):
        return
    lengths = sorted({value.shape[1] for value in present})
    if len(lengths) > 1 and "index" not in name:
        raise ValueError(
            f"{name} must have the same length in all molecules of a batch; got {lengths}. Resample the spectra onto "
            "one axis with molspectra.data.resample."
        )
