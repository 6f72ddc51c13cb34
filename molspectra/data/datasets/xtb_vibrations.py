"""XTBVibrations: the corpus of computed vibrational spectra that is shipped with the package."""

import math
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import check_choice, checked
from molspectra.data.datasets.archive import MoleculeArchive
from molspectra.data.datasets.bundled import BundledDataset
from molspectra.spectra.axis import IR, RAMAN, SpectrumAxis, check_axis

_ARCHIVE = MoleculeArchive("xtb_vibrations", "xtb_vibrations.npz")
_STICKS = {kind: ("vib", "vib_freq", f"vib_{kind}") for kind in ("ir", "raman")}
_MOST_STICKS = 81  # of the largest molecule, of 29 atoms: 3 N - 6
_TOTALS = ("energy", "qm9_u298")  # float64: float32 resolves no more than 0.06 meV of a total energy
_LABELS = ("homo", "lumo", "gap", "zpve", "cv", "qm9_gap", "qm9_alpha", "qm9_cv")


class XTBVibrations(BundledDataset):
    """12,409 molecules of QM9 with GFN2-xTB structures, vibrational lines, IR and Raman spectra and properties.

    Up to 9 heavy atoms of C, N, O and F, neutral, closed shell, one conformer each, computed as `MiniSpectra` is, with
    which it shares no molecule. Spectra are stored as lines and broadened when a molecule is accessed. The README
    beside the data tells how each number was computed.

    =====================================  ===========  ==========================================================
    field                                  shape        unit, meaning
    =====================================  ===========  ==========================================================
    `z` `pos`                              (N,) (N, 3)  atomic number, Å
    `bond_index` `bond_order`              (2, B) (B,)  i < j, and 1, 1.5 (aromatic), 2, 3
    `ir` `raman`                           (1, L)       km/mol per cm^-1, Å^4/amu per cm^-1
    `energy` `homo` `lumo` `gap` `zpve`    (1,)         eV, `energy` float64
    `mu` `dipole`                          (1,) (1, 3)  Debye
    `alpha` `polarizability`               (1,) (1, 9)  a0^3, isotropic and all components, row by row
    `cv`                                   (1,)         cal/mol/K
    `qm9_gap` `qm9_u298`                   (1,)         eV: B3LYP, from QM9, `qm9_u298` float64
    `qm9_alpha` `qm9_cv`                   (1,)         a0^3, cal/mol/K: B3LYP, from QM9
    `mulliken_charge`                      (N,)         e
    `smiles`                               str          canonical, without stereochemistry
    =====================================  ===========  ==========================================================

    The labels of QM9 are NaN in 106 molecules that could not be matched. None of the molecules is among those of
    `MiniSpectra`.

    Args:
        split: "train" (9,926 molecules), "validation" or "val" (1,200), "test" (1,283), or "all". The split is by a
            hash of the SMILES.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called with each molecule once per process, on first access, before `transform`.
        pre_filter: Called once with each molecule, before `pre_transform`. If it returns False, the molecule is
            left out.
        axes: Kind → axis of its spectra. None gives lines instead of spectra, (1, 81, 2) positions in cm^-1 and
            intensities in km/mol or Å^4/amu, padded with NaN, for :class:`~molspectra.spectra.augment.BroadenSticks`.
        fwhm: Full width at half maximum of the lines in cm^-1.
        shape: "lorentzian" or "gaussian".

    Raises:
        ValueError: `split`, a kind of `axes` or `shape` is unknown, or `fwhm` is not positive.

    Example:
        >>> dataset = XTBVibrations("validation", axes={"ir": ms.data.SpectrumAxis("ir", 400, 4000, 2, "cm^-1")})
        >>> len(dataset), dataset[0].ir.shape
        (1200, torch.Size([1, 1801]))
        >>> batch = Batch.from_data_list(list(XTBVibrations("test", axes=None)[:8]))
        >>> ms.spectra.augment.BroadenSticks(fwhm=(8, 30))(batch.ir, ms.data.IR).shape
        torch.Size([8, 3501])
    """

    archive: ClassVar[MoleculeArchive] = _ARCHIVE

    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "pos": "Å",
            "ir": "km/mol/cm^-1",
            "raman": "Å^4/amu/cm^-1",
            **dict.fromkeys((*_TOTALS, "homo", "lumo", "gap", "zpve", "qm9_gap"), "eV"),
            **dict.fromkeys(("mu", "dipole"), "Debye"),
            **dict.fromkeys(("alpha", "polarizability", "qm9_alpha"), "a0^3"),
            **dict.fromkeys(("cv", "qm9_cv"), "cal/mol/K"),
            "mulliken_charge": "e",
        }
    )
    """Field → its unit."""

    license: ClassVar[str] = "CC0 1.0"
    """Terms under which the data are published."""

    @checked
    def __init__(
        self,
        split: str = "train",
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        axes: Mapping[str, SpectrumAxis] | None = MappingProxyType({"ir": IR, "raman": RAMAN}),
        fwhm: float = 16.0,
        shape: str = "lorentzian",
    ) -> None:
        check_choice("shape", shape, ("gaussian", "lorentzian"))
        for kind, axis in (axes or {}).items():
            check_choice("kind of axes", kind, list(_STICKS))
            check_axis(f"axes[{kind!r}]", axis)
        if not 0 < fwhm < math.inf:
            raise ValueError(f"fwhm must be positive and finite (cm^-1); got {fwhm}.")
        self.axes = None if axes is None else dict(axes)
        self.fwhm = fwhm
        self.shape = shape
        super().__init__(split, transform, pre_transform, pre_filter)

    def sticks(self, index: int, kind: str) -> tuple[Tensor, Tensor]:
        """Return the calculated lines of a spectrum, which :func:`molspectra.data.broaden` turns into one of any width.

        Args:
            index: Position of the molecule in this view.
            kind: "ir" or "raman".

        Returns:
            Positions (K,) in cm^-1 and intensities (K,) in km/mol or Å^4/amu, float32. Negative wavenumbers of a few
            soft vibrations stand for imaginary ones.

        Raises:
            ValueError: `kind` is unknown.
        """
        check_choice("kind", kind, list(_STICKS))
        return _ARCHIVE.sticks(*_STICKS[kind], self._row(operator.index(index)))

    def _make(self, row: int) -> Data:
        one, tensor = slice(row, row + 1), _ARCHIVE.tensor
        dipole, polarizability = tensor("dipole", one), tensor("polarizability", one)
        return Data(
            **_ARCHIVE.structure(row),
            dipole=dipole,
            mu=dipole.norm(dim=1),
            polarizability=polarizability.flatten(1),
            alpha=polarizability.diagonal(dim1=1, dim2=2).mean(dim=1),
            smiles=str(_ARCHIVE.arrays["smiles"][row]),
            **self._spectra(row),
            **{key: tensor(key, one, torch.float64) for key in _TOTALS},
            **{key: tensor(key, one) for key in _LABELS},
        )

    def _spectra(self, row: int) -> dict[str, Tensor]:
        if self.axes is None:
            return {kind: _padded(row, kind) for kind in _STICKS}
        return {
            kind: _ARCHIVE.spectrum(*_STICKS[kind], row, axis, self.fwhm, self.shape)
            for kind, axis in self.axes.items()
        }


def _padded(row: int, kind: str) -> Tensor:
    """Return the lines of a molecule, (1, 81, 2), padded with NaN."""
    positions, intensities = _ARCHIVE.sticks(*_STICKS[kind], row)
    lines = positions.new_full((1, _MOST_STICKS, 2), torch.nan)
    lines[0, : len(positions)] = torch.stack([positions, intensities], dim=1)
    return lines
