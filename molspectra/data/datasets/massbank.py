"""MassBank: measured tandem mass spectra that are shipped with the package."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch_geometric.data import Data

from molspectra.data.chemistry.composition import molecular_formula
from molspectra.data.datasets.archive import MoleculeArchive
from molspectra.data.datasets.bundled import BundledDataset
from molspectra.data.io.spectrum_fields import add_fields, record_fields

_ARCHIVE = MoleculeArchive("massbank", "massbank.npz")
_POSITION, _MASS = 1e-3, 1e-5  # Å and m/z of one unit of the stored integers


class MassBank(BundledDataset):
    """6,938 measured tandem mass spectra of 604 compounds, the records of MassBank that are in the public domain.

    Mostly Orbitrap spectra at 10 to 200 % of normalized energy. A molecule is one record. Records of one compound are
    consecutive and in the same split. Positions are one conformer of RDKit for each compound, MMFF94 or UFF, not
    measured.

    ===============================  =================  ========================================================
    field                            shape              unit, meaning
    ===============================  =================  ========================================================
    `msms`                           (1, K, 2)          m/z and intensity (counts) of each peak
    `precursor_mz`                   (1,) float64       m/z
    `precursor_charge`               (1,) float64       e
    `collision_energy`               (1,) float64       eV, NaN where the record states none in eV
    `normalized_collision_energy`    (1,) float64       percent, NaN likewise
    `z` `pos`                        (N,) (N, 3)        atomic number, Å
    `bond_index` `bond_order`        (2, B) (B,)        i < j, and 1, 1.5 (aromatic), 2, 3
    `formal_charge`                  (N,)               e
    `smiles` `inchikey` `name`       str                of the compound
    `identifier` `adduct`            str                accession, "[M+H]+" …
    `ion_mode` `instrument`          str                "positive" or "negative", type such as "LC-ESI-ITFT"
    `collision_energy_text`          str                energy as the record states it
    `formula`                        str                of all atoms, in Hill order
    ===============================  =================  ========================================================

    :class:`~molspectra.data.Collate` pads the lists of peaks of a batch. The README beside the data tells which records
    were left out.

    Args:
        split: "train" (5,738 spectra), "validation" or "val" (480), "test" (720), or "all". The split is by compound.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called with each molecule once per process, on first access, before `transform`.
        pre_filter: Called once with each molecule, before `pre_transform`. If it returns False, the molecule is
            left out.

    Raises:
        ValueError: `split` is unknown.

    Example:
        >>> spectrum = MassBank("test")[0]
        >>> spectrum.name, spectrum.adduct, spectrum.msms.shape
        ('Ethambutol', '[M+H]+', torch.Size([1, 2, 2]))
    """

    archive: ClassVar[MoleculeArchive] = _ARCHIVE

    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "pos": "Å",
            "msms": "m/z, counts",
            "precursor_mz": "m/z",
            "precursor_charge": "e",
            "collision_energy": "eV",
            "normalized_collision_energy": "%",
        }
    )
    """Field → its unit."""

    license: ClassVar[str] = "CC0 1.0"
    """Terms under which the data are published."""

    source: ClassVar[str] = "https://github.com/MassBank/MassBank-data"
    """URL that describes the files."""

    citation: ClassVar[str] = (
        "H. Horai et al., MassBank: a public repository for sharing mass spectral data for life sciences, J. Mass "
        "Spectrom. 45, 703 (2010), doi:10.1002/jms.1777"
    )
    """Reference to cite."""

    def _make(self, row: int) -> Data:
        arrays = _ARCHIVE.arrays
        compound = int(arrays["molecule"][row])
        atoms, bonds = _ARCHIVE.rows_of("atom", compound), _ARCHIVE.rows_of("bond", compound)
        peaks = _ARCHIVE.rows_of("peak", row)
        table = np.stack([arrays["mz"][peaks] * _MASS, arrays["intensity"][peaks]], axis=1)
        data = Data(
            z=_ARCHIVE.tensor("z", atoms, torch.int64),
            pos=torch.from_numpy(arrays["pos"][atoms] * _POSITION).to(torch.float32),
            bond_index=_ARCHIVE.tensor("bond_index", bonds, torch.int64).t().contiguous(),
            bond_order=_ARCHIVE.tensor("bond_order", bonds) / 2,
            formal_charge=_ARCHIVE.tensor("formal_charge", atoms, torch.int64),
            msms=torch.from_numpy(table).to(torch.float32).unsqueeze(0),
        )
        stated = {key: str(arrays[key][compound]) for key in ("name", "smiles", "inchikey")}
        stated |= {
            "formula": molecular_formula(data.z),
            "accession": str(arrays["accession"][row]),
            "precursormz": repr(float(arrays["precursor_mz"][row])),
            **{name: str(arrays[texts][arrays[key][row]]) for name, key, texts in _TEXTS},
        }
        return add_fields(data, record_fields(stated))


# Name as in a record, key of the numbers, key of the texts they stand for.
_TEXTS = (
    ("adduct", "adduct", "adducts"),
    ("instrument", "instrument", "instruments"),
    ("collisionenergy", "collision_energy", "collision_energies"),
)
