"""MassSpecGym: the benchmark of tandem mass spectra."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch_geometric.data import Data

from molspectra._download import download
from molspectra._validation import check_choice
from molspectra.data.chemistry.shared_conformer import SharedConformer
from molspectra.data.datasets.stored import StoredDataset
from molspectra.data.io.spectrum_fields import add_fields, peaks_field, record_fields
from molspectra.data.io.text import open_text, to_float

_FILE = "MassSpecGym.tsv"
_URL = f"https://huggingface.co/datasets/roman-bushuiev/MassSpecGym/resolve/main/data/{_FILE}"
_FOLDS = ("train", "val", "test")
# Column of the table → name of the same statement in other formats.
_STATED = {
    "identifier": "identifier",
    "smiles": "smiles",
    "inchikey": "inchikey",
    "formula": "formula",
    "precursor_mz": "precursormz",
    "adduct": "adduct",
    "instrument_type": "instrumenttype",
    "collision_energy": "collisionenergy",
}
_GEOMETRY = ("z", "pos", "bond_index", "bond_order", "formal_charge")
_COLUMNS = (*_STATED, "mzs", "intensities", "precursor_formula", "parent_mass", "fold", "simulation_challenge")


class MassSpecGym(StoredDataset):
    """231,104 tandem mass spectra of 29 thousand molecules, with the folds of the benchmark (Bushuiev et al. 2024).

    ===============================  =================  ========================================================
    field                            shape              unit, meaning
    ===============================  =================  ========================================================
    `msms`                           (1, K, 2)          m/z and intensity relative to the strongest peak
    `precursor_mz` `parent_mass`     (1,) float64       m/z, Da
    `precursor_charge`               (1,) float64       e, of the adduct
    `collision_energy`               (1,) float64       eV, NaN where unknown
    `normalized_collision_energy`    (1,) float64       NaN
    `smiles` `inchikey` `formula`    str                of the molecule. `inchikey` is its first block
    `identifier` `adduct`            str                "MassSpecGymID0000001" …, "[M+H]+" …
    `ion_mode` `instrument`          str                "positive" or "negative", "Orbitrap" or "QTOF"
    `precursor_formula`              str                of the ion
    `fold`                           str                "train", "val" or "test"
    `simulation_challenge`           bool               True for spectra of the simulation challenge
    ===============================  =================  ========================================================

    and `name`, empty, and `collision_energy_text`. Molecules of different folds are far apart by MCES distance.
    :class:`~molspectra.data.Collate` pads the lists of peaks of a batch.

    Args:
        root: Folder of the data set. The published table (`MassSpecGym.tsv`) is expected, or downloaded, in
            `<root>/raw`.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
        fold: "train", "val" or "test", or None for all.
        conformers: Add `z`, `pos`, `bond_index`, `bond_order` and `formal_charge` of one conformer of each molecule, by
            :func:`molspectra.data.from_smiles`. The published file has no geometries. All of them take some hours.
        seed: Seed of the conformers.
        force_reload: Read the published files again in any case.
        skip_broken: List broken records in `skipped` instead of raising an error. A record is a line of the table, with
            its identifier, and is also broken if RDKit finds no conformer.

    Raises:
        ImportError: RDKit is not installed, and conformers are wanted.
        ValueError: `fold` is unknown, a column is missing, the table is truncated, or a row is broken.

    Example:
        >>> MassSpecGym.units["collision_energy"]
        'eV'
    """

    license: ClassVar[str] = "as stated by the source"
    source: ClassVar[str] = "https://huggingface.co/datasets/roman-bushuiev/MassSpecGym"
    citation: ClassVar[str] = (
        "R. Bushuiev, A. Bushuiev et al., MassSpecGym: A benchmark for the discovery and identification of molecules, "
        "NeurIPS 2024, arXiv:2410.23326"
    )
    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "pos": "Å",
            "msms": "m/z, relative",
            "precursor_mz": "m/z",
            "parent_mass": "Da",
            "precursor_charge": "e",
            "collision_energy": "eV",
        }
    )

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        fold: str | None = None,
        conformers: bool = False,
        seed: int = 0,
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        if fold is not None:
            check_choice("fold", fold, _FOLDS)
        self.fold, self.conformers, self.seed = fold, conformers, seed
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @property
    def raw_file_names(self) -> list[str]:
        """Name of the published table."""
        return [_FILE]

    @property
    def processed_dir(self) -> str:
        """Folder of the stored molecules, one for each fold and choice of conformers."""
        geometry = f"seed_{self.seed}" if self.conformers else "no_conformers"
        return str(Path(self.root) / "processed" / f"{self.fold or 'all'}_{geometry}")

    def download(self) -> None:
        """Fetch the published table."""
        download(_URL, Path(self.raw_dir) / _FILE)

    def molecules(self) -> Iterator[Data]:
        """Read the rows of the table, one at a time. Consecutive rows of one molecule share its conformer."""
        conformer = SharedConformer(self.seed)
        path = Path(self.raw_paths[0])
        for number, row in _rows(path):
            record = f"line {number} ({row.get('identifier', '')})"
            try:
                data = _spectrum(row)
                if self.fold not in (None, data.fold):
                    continue
                if self.conformers:
                    made = conformer(data.smiles)
                    for name in _GEOMETRY:
                        data[name] = made[name]
            except ValueError as error:
                self.broken(path, record, error)
                continue
            yield data


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of the table with the numbers of their lines. A row with another number of cells is left bare.

    Raises:
        ValueError: a column is missing, or the last line has no end.
    """
    with open_text(path) as lines:
        names = next(lines, "").rstrip("\n").split("\t")
        if missing := [name for name in _COLUMNS if name not in names]:
            raise ValueError(f"{path} must have the columns {missing}; got {names}. Fetch it anew.")
        for number, line in enumerate(lines, 2):
            if not line.endswith("\n"):
                raise ValueError(f"{path} ends within line {number}: it is truncated. Fetch it anew.")
            cells = line.rstrip("\n").split("\t")
            yield number, dict(zip(names, cells, strict=True)) if len(cells) == len(names) else {}


def _spectrum(row: Mapping[str, str]) -> Data:
    """Convert a row to a molecule without geometry.

    Raises:
        ValueError: the row is broken.
    """
    if not row:
        raise ValueError("the row has another number of cells than the table has columns.")
    fields = record_fields({name: row[column] for column, name in _STATED.items()})
    for text in ("identifier", "smiles", "inchikey", "adduct"):
        if not fields[text]:
            raise ValueError(f"{text} must be stated; got {row[text]!r}.")
    if not bool(torch.as_tensor(fields["precursor_mz"]).isfinite().all()):
        raise ValueError(f"precursor_mz must be a positive number; got {row['precursor_mz']!r}.")
    positions, intensities = (_numbers(name, row[name]) for name in ("mzs", "intensities"))
    if len(positions) != len(intensities):
        raise ValueError(f"mzs and intensities must be as many; got {len(positions)} and {len(intensities)}.")
    if row["fold"] not in _FOLDS or row["simulation_challenge"] not in ("True", "False"):
        raise ValueError(
            f"fold must be one of {_FOLDS}, and simulation_challenge True or False; got {row['fold']!r} and "
            f"{row['simulation_challenge']!r}."
        )
    data = Data(msms=peaks_field(positions, intensities))
    data.parent_mass = torch.tensor([_numbers("parent_mass", row["parent_mass"])[0]], dtype=torch.float64)
    data.precursor_formula, data.fold = row["precursor_formula"], row["fold"]
    data.simulation_challenge = row["simulation_challenge"] == "True"
    return add_fields(data, fields)


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [to_float(number) for number in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{name} must be numbers separated by commas: {error}.") from error
