"""CascadeNMR: chemical shifts of atoms, computed and measured, which are shipped with the package."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra.data.datasets.archive import MoleculeArchive
from molspectra.data.datasets.bundled import BundledDataset

_ARCHIVE = MoleculeArchive("cascade_nmr", "cascade_nmr.npz")
_POSITION, _SHIFT = 1e-4, 1e-2  # Å and ppm of one unit of the stored integers
_NONE = -32768  # in place of a shift


class CascadeNMR(BundledDataset):
    """6,700 organic molecules with DFT geometries and chemical shifts of hydrogen and carbon atoms (Guan et al. 2021).

    Elements are H, C, N, O, F, P, S and Cl. The shifts are scaled to experiment, and deviate from the measured ones of
    ¹³C by 1.69 ppm on average. Shifts of carbon in 4,611 of the molecules were measured (nmrshiftdb2). The README
    beside the data tells what has been changed.

    =========================  ===========  ===================================================================
    field                      shape        unit, meaning
    =========================  ===========  ===================================================================
    `z` `pos`                  (N,) (N, 3)  atomic number, Å to the published 0.0001 Å
    `bond_index` `bond_order`  (2, B) (B,)  i < j, and 1, 1.5 (aromatic), 2, 3
    `shift_dft`                (N,)         ppm of ¹H and ¹³C, to 0.01 ppm, NaN for all other elements
    `shift_measured`           (N,)         ppm of ¹³C, to 0.01 ppm, NaN where nothing was measured
    `smiles`                   str          canonical, without stereochemistry
    `mol_id`                   (1,) int64   number in nmrshiftdb2
    =========================  ===========  ===================================================================

    `Regression(label="shift_dft", level="atom")` learns them as properties of atoms.

    Args:
        split: "train" (5,377 molecules), "validation" or "val" (687), "test" (636), or "all". The split is by a hash of
            the SMILES.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called with each molecule once per process, on first access, before `transform`.
        pre_filter: Called once with each molecule, before `pre_transform`. If it returns False, the molecule is
            left out.

    Raises:
        ValueError: `split` is unknown.

    Example:
        >>> butynediol = next(data for data in CascadeNMR("all") if data.smiles == "OCC#CCO")
        >>> butynediol.shift_measured[butynediol.z == 6]
        tensor([50.3000, 83.7000, 83.7000, 50.3000])
    """

    archive: ClassVar[MoleculeArchive] = _ARCHIVE

    units: ClassVar[Mapping[str, str]] = MappingProxyType({"pos": "Å", "shift_dft": "ppm", "shift_measured": "ppm"})
    """Field → its unit."""

    license: ClassVar[str] = "MIT"
    """Terms under which the data are published."""

    source: ClassVar[str] = "https://github.com/patonlab/CASCADE"
    """URL that describes the files."""

    citation: ClassVar[str] = (
        "Y. Guan, S. V. S. Sowndarya, L. C. Gallegos, P. C. St. John and R. S. Paton, Real-time prediction of 1H and "
        "13C chemical shifts with DFT accuracy using a 3D graph neural network, Chem. Sci. 12, 12012 (2021), "
        "doi:10.1039/D1SC03343C"
    )
    """Reference to cite."""

    def _make(self, row: int) -> Data:
        atoms, bonds, one = _ARCHIVE.rows_of("atom", row), _ARCHIVE.rows_of("bond", row), slice(row, row + 1)
        return Data(
            z=_ARCHIVE.tensor("z", atoms, torch.int64),
            pos=_positions(atoms),
            bond_index=_ARCHIVE.tensor("bond_index", bonds, torch.int64).t().contiguous(),
            bond_order=_ARCHIVE.tensor("bond_order", bonds) / 2,
            shift_dft=_shifts("shift_dft", atoms),
            shift_measured=_shifts("shift_measured", atoms),
            smiles=str(_ARCHIVE.arrays["smiles"][row]),
            mol_id=_ARCHIVE.tensor("mol_id", one, torch.int64),
        )


def _positions(atoms: slice) -> Tensor:
    low, high = (_ARCHIVE.arrays[f"pos_{part}"][atoms].astype(np.int64) for part in ("low", "high"))
    return torch.from_numpy((65536 * high + low) * _POSITION).to(torch.float32)


def _shifts(key: str, atoms: slice) -> Tensor:
    stored = _ARCHIVE.arrays[key][atoms]
    return torch.from_numpy(np.where(stored == _NONE, np.nan, stored * _SHIFT)).to(torch.float32)
