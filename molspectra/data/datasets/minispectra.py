"""MiniSpectra: the sample data set that is shipped with the package."""

import functools
import operator
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import check_choice
from molspectra.data.datasets.archive import MoleculeArchive
from molspectra.data.datasets.bundled import BundledDataset
from molspectra.spectra.axis import IR, RAMAN, UV_VIS, SpectrumAxis

_ARCHIVE = MoleculeArchive("minispectra", "minispec.npz")
_VIB = "vib", "vib_freq"
_STICKS = {"uv_vis": ("exc", "exc_energy", "exc_f"), "ir": (*_VIB, "vib_ir"), "raman": (*_VIB, "vib_raman")}
_SHAPES = {"uv_vis": (0.35, "gaussian"), "ir": (16.0, "lorentzian"), "raman": (16.0, "lorentzian")}
_LABELS = ("homo", "lumo", "gap", "mu", "alpha", "zpve", "cv")
_PBE0_LABELS = ("pbe0_homo", "pbe0_lumo", "pbe0_gap", "pbe0_mu", "pbe0_alpha", "pbe0_r2")
_TOTALS = ("energy", "u0", "u298", "h298", "g298")  # float64: float32 resolves no more than 0.06 meV of a total energy


class MiniSpectra(BundledDataset):
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

    archive: ClassVar[MoleculeArchive] = _ARCHIVE

    def sticks(self, index: int, kind: str) -> tuple[Tensor, Tensor]:
        """Return the calculated lines of a spectrum, which :func:`molspectra.data.broaden` turns into one of any width.

        The spectra of the molecules are Gaussian of fwhm 0.35 eV ("uv_vis") or Lorentzian of fwhm 16 cm^-1.

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
        return _ARCHIVE.sticks(*_STICKS[kind], self._row(operator.index(index)))

    def _make(self, row: int) -> Data:
        one, tensor = slice(row, row + 1), _ARCHIVE.tensor
        return Data(
            **_ARCHIVE.structure(row),
            dipole=tensor("dipole", one),
            smiles=str(_ARCHIVE.arrays["smiles"][row]),
            **{kind: torch.tensor(_spectrum(row, kind), dtype=torch.float32) for kind in self.axes},
            **{key: tensor(key, one, torch.float64) for key in _TOTALS},
            **{key: tensor(key, one) for key in (*_LABELS, *_PBE0_LABELS)},
        )


@functools.cache  # 22 MB for all molecules, and 1 to 3 ms for each at its first access
def _spectrum(row: int, kind: str) -> np.ndarray:
    """Broaden the lines of a molecule, in float64, to a spectrum (1, L) float32."""
    return _ARCHIVE.spectrum(*_STICKS[kind], row, MiniSpectra.axes[kind], *_SHAPES[kind]).numpy()
