"""NMRShiftDB: measured chemical shifts with the atoms that they belong to."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.conformers import make_conformer
from molspectra.data.chemistry.elements import atomic_number
from molspectra.data.chemistry.rdkit import formal_charges, from_rdkit, graph, refuse_dummies
from molspectra.data.datasets.stored import StoredDataset
from molspectra.data.io.sdf import read_records
from molspectra.data.io.sdf_properties import parse_properties
from molspectra.data.io.text import open_text, to_float

_FILE = "nmrshiftdb2withsignals.sd"
_SPECTRUM = re.compile(r"Spectrum (\d+)([A-Z][a-z]?) (\d+)")
_LIST = {"C": "c_nmr_peaks", "H": "h_nmr_peaks"}


class NMRShiftDB(StoredDataset):
    """Measured chemical shifts of organic molecules, assigned to atoms, out of the open database nmrshiftdb2.

    =========================  ===========  ===================================================================
    field                      shape        unit, meaning
    =========================  ===========  ===================================================================
    `z`                        (N,)         atomic number, hydrogens included
    `pos`                      (N, 3)       Å, one conformer of RDKit, with `conformers=True`
    `bond_index` `bond_order`  (2, B) (B,)  i < j, and 1, 1.5 (aromatic), 2, 3
    `formal_charge`            (N,)         e
    `shift_measured`           (N,)         ppm, of any nucleus, NaN where nothing was measured
    `c_nmr_peaks`              (1, K, 2)    ppm and number of atoms of each signal of the first ¹³C spectrum
    `h_nmr_peaks`              (1, K, 2)    the same of the first ¹H spectrum
    `smiles` `name` `solvent`  str          `solvent` as the record states it, for all its spectra
    `identifier` `inchikey`    str          number in nmrshiftdb2, InChIKey
    =========================  ===========  ===================================================================

    `shift_measured` is the mean where an atom has several signals, of other solvents or of diastereotopic hydrogens. A
    signal of ¹H that stands at a heavy atom belongs to all its hydrogens. A missing list of peaks is a row of NaN.

    The file has drawings, whose stereochemistry a conformer keeps, and hydrogens are added.

    Args:
        root: Folder of the data set. The published file, `nmrshiftdb2withsignals.sd`, is expected in `<root>/raw`.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
        conformers: Make a conformer of each molecule. All of them take some hours.
        seed: Seed of the conformers.
        force_reload: Read the published files again in any case.
        skip_broken: List broken records in `skipped` instead of raising an error. A record is a molecule, by its number
            in the file and its title. Some are drawings that RDKit refuses, and some have no shifts.

    Raises:
        FileNotFoundError: the file is not there. It is not downloaded.
        ImportError: RDKit is not installed.
        ValueError: the file is truncated, or a record is broken: a signal cannot be read, or its atom is none of the
            nucleus.

    Example:
        >>> NMRShiftDB.units["shift_measured"]
        'ppm'
    """

    license: ClassVar[str] = "as stated by the source"
    source: ClassVar[str] = "https://nmrshiftdb.nmr.uni-koeln.de"
    citation: ClassVar[str] = (
        "S. Kuhn, N. E. Schlörer, Facilitating quality control for spectra assignments of small organic molecules: "
        "nmrshiftdb2, Magn. Reson. Chem. 53, 582 (2015), doi:10.1002/mrc.4263"
    )
    units: ClassVar[Mapping[str, str]] = MappingProxyType({"pos": "Å", "shift_measured": "ppm"})

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        conformers: bool = False,
        seed: int = 0,
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        self.conformers, self.seed = conformers, seed
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @property
    def raw_file_names(self) -> list[str]:
        """Name of the published file."""
        return [_FILE]

    @property
    def processed_dir(self) -> str:
        """Folder of the stored molecules, one for each choice of conformers."""
        return str(Path(self.root) / "processed" / (f"seed_{self.seed}" if self.conformers else "no_conformers"))

    def molecules(self) -> Iterator[Data]:
        """Read the records of the file, one at a time."""
        path = Path(self.raw_paths[0])
        with open_text(path) as lines:
            for record in read_records(lines, path):
                try:
                    stated = parse_properties(record.lines)
                    signals = _signals(stated)
                    data = _molecule("\n".join(record.lines) + "\n", self.seed if self.conformers else None)
                    data.shift_measured = _shifts(data, signals)
                    for element, field in _LIST.items():
                        data[field] = _peaks(signals, element)
                except ValueError as error:
                    self.broken(path, f"{record.number} ({record.title})", error)
                    continue
                data.name, data.solvent = record.title, stated.get("Solvent", "")
                data.identifier, data.inchikey = stated.get("nmrshiftdb2 ID", ""), stated.get("INChI key", "")
                yield data


_Signals = dict[tuple[str, int], list[tuple[float, int]]]
"""Element and number of a spectrum → shift and atom of each signal."""


def _signals(stated: Mapping[str, str]) -> _Signals:
    """Parse the spectra of a record, `shift;intensity and multiplicity;atom|` for each signal.

    Raises:
        ValueError: a signal cannot be read, or there is none.
    """
    found: _Signals = {}
    for name, text in stated.items():
        match = _SPECTRUM.fullmatch(name)
        if match is None:
            continue
        signals = [entry for entry in text.replace("\n", "").split("|") if entry.strip()]
        found[match[2], int(match[3])] = [_signal(name, entry) for entry in signals]
    if not any(found.values()):
        raise ValueError("it has no signals.")
    return found


def _signal(name: str, entry: str) -> tuple[float, int]:
    parts = entry.split(";")
    try:
        if len(parts) != 3 or not re.fullmatch(r"\s*\d+\s*", parts[2], re.ASCII):
            raise ValueError("it has not three parts, the last a number")
        shift = to_float(parts[0])
        if not math.isfinite(shift):
            raise ValueError("the shift is not finite")
    except ValueError as error:
        raise ValueError(f"{name} must have signals such as 17.6;0.0Q;10; got {entry!r}: {error}.") from error
    return shift, int(parts[2])


def _molecule(block: str, seed: int | None) -> Data:
    """Make the molecule of a drawing, with hydrogens, and with a conformer if a seed is given.

    Raises:
        ValueError: RDKit refuses the drawing, or finds no conformer.
    """
    rdkit = import_rdkit("NMRShiftDB")
    with rdkit.rdBase.BlockLogs():
        drawn = rdkit.Chem.MolFromMolBlock(block, removeHs=False)
        if drawn is None or drawn.GetNumAtoms() == 0:
            raise ValueError("RDKit cannot read the drawing, or it has no atoms.")
        refuse_dummies(drawn)
        mol = rdkit.Chem.AddHs(drawn, addCoords=True)
        smiles = rdkit.Chem.MolToSmiles(rdkit.Chem.RemoveHs(drawn))
        if seed is not None:
            make_conformer(mol, smiles, seed, mol.GetNumAtoms() > 1)
            return from_rdkit(mol)
    return Data(**graph(mol), formal_charge=formal_charges(mol), smiles=smiles)


def _shifts(data: Data, signals: _Signals) -> Tensor:
    """Return the mean shift of each atom, (N,) float32, NaN where it has no signal.

    Raises:
        ValueError: a signal stands at an atom of another element.
    """
    numbers = data.z.tolist()
    total = torch.zeros(len(numbers), dtype=torch.float64)
    count = torch.zeros(len(numbers), dtype=torch.float64)
    for (element, number), entries in signals.items():
        nucleus = atomic_number(element)
        for shift, atom in entries:
            atoms = _atoms(data, numbers, nucleus, atom)
            if not atoms:
                raise ValueError(
                    f"signals of {element} (spectrum {number}) must stand at atoms of it; the one at {shift:g} ppm "
                    f"stands at atom {atom} of {len(numbers)}, which is none."
                )
            total[atoms] += shift
            count[atoms] += 1
    return torch.where(count > 0, total / count, torch.nan).to(torch.float32)


def _atoms(data: Data, numbers: list[int], nucleus: int, atom: int) -> list[int]:
    """Return the atoms of a signal: the one stated, or for 1H the hydrogens of the one stated."""
    if atom >= len(numbers):
        return []
    if numbers[atom] == nucleus:
        return [atom]
    if nucleus != 1:
        return []
    i, j = data.bond_index.tolist()
    neighbors = [b for a, b in zip(i + j, j + i, strict=True) if a == atom]
    return [neighbor for neighbor in neighbors if numbers[neighbor] == 1]


def _peaks(signals: _Signals, element: str) -> Tensor:
    """Return the first spectrum of a nucleus, shifts and numbers of atoms, (1, K, 2), a row of NaN if there is none."""
    first = min((number for name, number in signals if name == element and signals[name, number]), default=None)
    if first is None:
        return torch.full((1, 1, 2), torch.nan, dtype=torch.float32)
    counts: dict[float, int] = {}
    for shift, _ in signals[element, first]:
        counts[shift] = counts.get(shift, 0) + 1
    return torch.tensor([sorted(counts.items())], dtype=torch.float32)
