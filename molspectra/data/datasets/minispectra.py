"""MiniSpectra: the sample data set that is shipped with the package."""

import copy
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from types import MappingProxyType
from typing import Any, ClassVar, overload

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import check_choice
from molspectra.data._html import dataset_html
from molspectra.spectra.axis import IR, RAMAN, UV_VIS, SpectrumAxis

_SPLITS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"train": (0,), "validation": (1,), "val": (1,), "test": (2,), "all": (0, 1, 2)}
)
_SPECTRA = {"uv_vis": "uv", "ir": "ir", "raman": "raman"}  # field → key in the file
_STICKS = {"uv_vis": ("exc", "energy", "f"), "ir": ("vib", "freq", "ir"), "raman": ("vib", "freq", "raman")}
_LABELS = ("homo", "lumo", "gap", "mu", "alpha", "zpve", "cv")
_PBE0_LABELS = ("pbe0_homo", "pbe0_lumo", "pbe0_gap", "pbe0_mu", "pbe0_alpha", "pbe0_r2")
_TOTALS = ("energy", "u0", "u298", "h298", "g298")  # float64: float32 resolves no more than 0.06 meV of a total energy


class MiniSpectra(Sequence[Data]):
    """735 small organic molecules with computed 3D structures, UV-Vis, IR and Raman spectra and properties.

    1 to 9 heavy atoms of C, N, O and F, neutral, closed shell, one conformer each. Structures, vibrations and most
    properties are GFN2-xTB, UV-Vis and the `pbe0_` properties PBE0/def2-SVP. The data set serves examples and tests,
    not as reference data for chemistry. The README beside the data tells how each number was computed.

    ==================================  ==============  ==========================================================
    field                               shape           unit, meaning
    ==================================  ==============  ==========================================================
    `z` `pos`                           (N,) (N, 3)     atomic number, Å
    `bond_index` `bond_order`           (2, B) (B,)     i < j, and 1, 1.5 (aromatic), 2, 3
    `uv_vis` `ir` `raman`               (1, L)          f per eV, km/mol per cm^-1, Å^4/amu per cm^-1
    `energy` `u0` `u298` `h298` `g298`  (1,)            eV, float64: GFN2-xTB totals, at 0 K and 298 K
    `homo` `lumo` `gap` `zpve`          (1,)            eV
    `mu` `dipole`                       (1,) (1, 3)     Debye
    `alpha`                             (1,)            a0^3, isotropic polarizability
    `cv`                                (1,)            cal/mol/K
    `pbe0_homo` `_lumo` `_gap`          (1,)            eV
    `pbe0_mu` `pbe0_alpha` `pbe0_r2`    (1,)            Debye, a0^3, a0^2
    `mulliken_charge`                   (N,)            e
    `smiles`                            str             canonical, without stereochemistry
    ==================================  ==============  ==========================================================

    A sequence of `Data`, for `torch_geometric.loader.DataLoader`. An integer index gives a molecule. A slice, a list or
    tensor of integers or a mask gives a view of the data set. Each process reads the file once, on first use.

    Args:
        split: "train" (584 molecules), "validation" or "val" (78), "test" (73), or "all" (735). The split is by a hash
            of the SMILES.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called with each molecule once per process, on first access, before `transform`: for constant
            fields such as topology and force constants. Workers of a data loader keep the result if they are kept
            themselves (`persistent_workers=True`).
        pre_filter: Called once with each molecule, before `pre_transform`. If it returns False, the molecule is
            left out.

    Raises:
        ValueError: `split` is unknown.

    Example:
        >>> dataset = MiniSpectra("validation")
        >>> len(dataset), dataset[0].smiles, dataset[0].ir.shape
        (78, 'C=O', torch.Size([1, 3501]))
    """

    axes: ClassVar[Mapping[str, SpectrumAxis]] = MappingProxyType({"uv_vis": UV_VIS, "ir": IR, "raman": RAMAN})
    """Kind of spectrum → its axis."""

    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "pos": "Å",
            "uv_vis": "1/eV",
            "ir": "km/mol/cm^-1",
            "raman": "Å^4/amu/cm^-1",
            **dict.fromkeys((*_TOTALS, "homo", "lumo", "gap", "zpve", "pbe0_homo", "pbe0_lumo", "pbe0_gap"), "eV"),
            **dict.fromkeys(("mu", "dipole", "pbe0_mu"), "Debye"),
            **dict.fromkeys(("alpha", "pbe0_alpha"), "a0^3"),
            "pbe0_r2": "a0^2",
            "cv": "cal/mol/K",
            "mulliken_charge": "e",
        }
    )
    """Field → its unit."""

    license: ClassVar[str] = "CC0 1.0"
    """Terms under which the data are published."""

    def __init__(
        self,
        split: str = "train",
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
    ) -> None:
        check_choice("split", split, list(_SPLITS))
        self.split = split
        self.transform = transform
        self.pre_transform = pre_transform
        self._pre_transformed: dict[Any, Data] = {}  # shared with the views of this data set
        self._rows = np.flatnonzero(np.isin(_arrays()["split"], _SPLITS[split]))
        if pre_filter is not None:
            self._rows = np.array([row for row in self._rows if pre_filter(_molecule(int(row)))], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Data: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | Sequence[bool] | Tensor | np.ndarray) -> "MiniSpectra": ...

    def __getitem__(self, index: Any) -> "Data | MiniSpectra":
        if isinstance(index, slice):
            return self._view(self._rows[index])
        if isinstance(index, (list, tuple, Tensor, np.ndarray)) and np.ndim(index) > 0:
            return self._view(self._select(np.asarray(index)))
        try:
            row = self._row(operator.index(index))
        except TypeError as error:
            raise TypeError(
                f"index must be an integer, a slice, or a list or tensor of integers or booleans; got {index!r}."
            ) from error
        data = self._molecule(row)
        return data if self.transform is None else self.transform(data)

    def sticks(self, index: int, kind: str) -> tuple[Tensor, Tensor]:
        """Return the calculated lines of a spectrum, which :func:`molspectra.data.broaden` turns into one of any width.

        The stored spectra are Gaussian, fwhm 0.35 eV ("uv_vis") and Lorentzian, fwhm 16 cm^-1 ("ir", "raman").

        Args:
            index: Position of the molecule in this view.
            kind: "uv_vis", "ir" or "raman".

        Returns:
            Positions (K,) and intensities (K,), float32. Units are eV and oscillator strength f (up to 14.5 eV), cm^-1
            and km/mol, or cm^-1 and Å^4/amu. Negative wavenumbers of a few soft vibrations stand for imaginary ones.

        Raises:
            ValueError: `kind` is unknown.
        """
        check_choice("kind", kind, list(_STICKS))
        table, positions, intensities = _STICKS[kind]
        lines = _slice(table, self._row(operator.index(index)))
        return _tensor(f"{table}_{positions}", lines), _tensor(f"{table}_{intensities}", lines)

    def __repr__(self) -> str:
        functions = {"transform": self.transform, "pre_transform": self.pre_transform}
        given = "".join(f", {name}={function}" for name, function in functions.items() if function is not None)
        return f"MiniSpectra({self.split!r}{given}): {len(self)} molecules"

    def _repr_html_(self) -> str:
        return dataset_html(self)

    def _molecule(self, row: int) -> Data:
        if self.pre_transform is None:
            return _molecule(row)
        key = self.pre_transform, row
        if key not in self._pre_transformed:
            self._pre_transformed[key] = self.pre_transform(_molecule(row))
        return self._pre_transformed[key].clone()

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in 0..{len(self) - 1} (or count from the end, as -1); got {index}.")
        return int(self._rows[index])

    def _select(self, index: np.ndarray) -> np.ndarray:
        if index.size == 0:
            return self._rows[:0]
        if index.ndim != 1 or index.dtype.kind not in "biu":
            raise TypeError(f"index must be one-dimensional, of integers or booleans; got {index.dtype} {index.shape}.")
        if index.dtype.kind == "b" and len(index) != len(self):
            raise IndexError(f"A mask must have {len(self)} entries, one per molecule; got {len(index)}.")
        return self._rows[index] if index.dtype.kind == "b" else np.array([self._row(int(i)) for i in index])

    def _view(self, rows: np.ndarray) -> "MiniSpectra":
        view = copy.copy(self)
        view._rows = rows
        return view


@functools.lru_cache(maxsize=1)
def _arrays() -> dict[str, np.ndarray]:
    """Read the whole file, about 20 MB, which all data sets of a process share and never change."""
    file = resources.files(__package__) / "minispectra" / "minispec.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return dict(archive)


def _slice(table: str, row: int) -> slice:
    """Locate the part of a ragged array that belongs to a molecule."""
    offset = _arrays()[f"{table}_offset"]
    return slice(int(offset[row]), int(offset[row + 1]))


def _tensor(key: str, part: slice, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(_arrays()[key][part], dtype=dtype)  # a copy, which a user may change


def _molecule(row: int) -> Data:
    atoms, bonds, one = _slice("atom", row), _slice("bond", row), slice(row, row + 1)
    # The file has some bonds as (j, i).
    pairs = _tensor("bond_index", bonds, torch.int64).sort(dim=1).values
    return Data(
        z=_tensor("z", atoms, torch.int64),
        pos=_tensor("pos", atoms),
        bond_index=pairs.t().contiguous(),
        bond_order=_tensor("bond_order", bonds),
        mulliken_charge=_tensor("charge", atoms),
        dipole=_tensor("dipole", one),
        smiles=str(_arrays()["smiles"][row]),
        **{field: _tensor(key, one) for field, key in _SPECTRA.items()},
        **{key: _tensor(key, one, torch.float64) for key in _TOTALS},
        **{key: _tensor(key, one) for key in (*_LABELS, *_PBE0_LABELS)},
    )
