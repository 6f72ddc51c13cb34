"""Fields that differ within a batch: rows of NaN for missing spectra and labels, and for shorter lists of peaks."""

import copy
import itertools
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch_geometric.data import Batch, Data

from molspectra.data.store.layout import is_table

# Fields with a row per atom, which a molecule of one atom cannot be told from one row per molecule.
_SPECTRA = ("uv_vis", "ir", "raman")
_PER_ATOM = ("z", "pos", "x", "forces", "formal_charge")


def fill_missing(molecules: Sequence[Data], exclude_keys: Collection[str] = ()) -> list[Data]:
    """Give all molecules the same fields, so that they can be one batch.

    `Batch.from_data_list` takes its fields from the first molecule. It drops those that only the others have, and fails
    on those that another one lacks.

    Args:
        molecules: Molecules of a batch, which are not changed.
        exclude_keys: Fields that the batch leaves out.

    Returns:
        The molecules, where need be as shallow copies with NaN for a spectrum or a label, with rows of NaN below a
        list of peaks, (1, K, d + 1), that is shorter than another one, and with labels that are plain numbers as
        float32, whatever the default dtype.

    Raises:
        TypeError: one of them is no `Data`.
        ValueError: there are none, a field is missing in part of them and no value can stand for it, spectra differ in
            length, or have no row of their own.
    """
    for index, molecule in enumerate(molecules):
        if not isinstance(molecule, Data) or isinstance(molecule, Batch):
            raise TypeError(
                f"Molecules of a batch must be torch_geometric.data.Data; got a {type(molecule).__name__} for molecule "
                f"{index}. Make them with molspectra.data.from_smiles, from_rdkit or from_ase, and take a Batch apart "
                "with to_data_list()."
            )
    if not molecules:
        raise ValueError("A batch must hold at least one molecule; got none. Skip empty batches.")
    # Sorted, because the order of the keys of a Data changes from process to process.
    names = sorted(set(itertools.chain.from_iterable(molecule.keys() for molecule in molecules)) - set(exclude_keys))
    filled = [_Copied(molecule) for molecule in molecules]
    for name in names:
        present = [molecule[name] for molecule in molecules if name in molecule]
        _check_lengths(name, present)
        alike = _in_float32(present) or _padded(name, present)
        if alike is not None:
            present = alike
            for molecule, value in zip((each for each in filled if name in each.data), alike, strict=True):
                molecule.set(name, value)
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
        for molecule in filled:
            if name not in molecule.data:
                molecule.set(name, nan)
    return [molecule.data for molecule in filled]


class _Copied:
    """Molecule that is copied, shallowly, before its first change."""

    def __init__(self, data: Data) -> None:
        self._given = self.data = data

    def set(self, name: str, value: Any) -> None:
        if self.data is self._given:
            self.data = copy.copy(self._given)
        self.data[name] = value


def _in_float32(present: Sequence[Any]) -> list[Tensor] | None:
    """Return plain numbers, which a batch would round to the default dtype, as a store holds them, or else None."""
    if not all(type(value) in (int, float) for value in present) or float not in map(type, present):
        return None
    return [torch.tensor(value, dtype=torch.float32) for value in present]


def _padded(name: str, present: Sequence[Any]) -> list[Tensor] | None:
    """Pad lists of peaks to the longest by rows of NaN, or return None if the values are no lists of unequal length."""
    if "index" in name or not all(isinstance(value, Tensor) and is_table(value) for value in present):
        return None
    lengths, widths = {value.shape[1] for value in present}, {(value.shape[2], value.dtype) for value in present}
    if len(lengths) < 2 or len(widths) > 1:
        return None
    longest = max(lengths)
    return [pad(value, (0, 0, 0, longest - value.shape[1]), value=torch.nan) for value in present]


def _nan_like(name: str, present: Sequence[Any]) -> Any:
    """Return NaN in the form of the present values, or None if they are not one row of floating-point numbers."""
    if not all(isinstance(value, Tensor) and value.is_floating_point() for value in present):
        return None
    first = present[0]
    if any(value.shape != first.shape for value in present) or "index" in name or name in _PER_ATOM:
        return None
    return torch.full_like(first, torch.nan) if first.dim() == 0 or first.shape[0] == 1 else None


def _check_lengths(name: str, present: Sequence[Any]) -> None:
    """Check that spectra of one kind have one length, and a row for each molecule.

    Raises:
        ValueError: they differ, or have none.
    """
    if name in _SPECTRA:
        _check_rows(name, present)
    if not all(isinstance(value, Tensor) and value.dim() == 2 and value.shape[0] == 1 for value in present):
        return
    lengths = sorted({value.shape[1] for value in present})
    if len(lengths) > 1 and "index" not in name:
        raise ValueError(
            f"{name} must have the same length in all molecules of a batch; got {lengths}. Resample the spectra onto "
            "one axis with molspectra.data.resample."
        )


def _check_rows(name: str, present: Sequence[Any]) -> None:
    """Refuse (L,), of which a batch would be one long row, and (2, L), two rows for one molecule."""
    for value in present:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise TypeError(f"{name} must be a floating-point tensor of shape (1, L); got {got}. Convert it.")
        if value.dim() < 2 or value.shape[0] != 1:
            raise ValueError(
                f"{name} must have shape (1, L), one row for a molecule; got {tuple(value.shape)}. Write "
                f"data.{name} = spectrum.reshape(1, -1)."
            )
