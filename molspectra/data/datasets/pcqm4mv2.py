"""PCQM4Mv2: the 3.4 million molecules of its training set that have a structure, with their HOMO-LUMO gap."""

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from torch_geometric.data import Data

from molspectra._download import download
from molspectra._validation import check_choice
from molspectra.data.chemistry.elements import SYMBOLS, heavy_atoms
from molspectra.data.datasets.stored import StoredDataset, check_count
from molspectra.data.io.archives import ZipArchive, file_lines, tar_files, unpack
from molspectra.data.io.sdf import parse_record, read_records
from molspectra.data.io.xyz_lines import parse_xyz

_URL = "https://dgl-data.s3-accelerate.amazonaws.com/dataset/OGB-LSC/pcqm4m-v2.zip"
_GEOMETRY_URL = "http://ogb-data.stanford.edu/data/lsc/"
_CSV, _SDF, _XYZ = "data.csv.gz", "pcqm4m-v2-train.sdf.tar.gz", "pcqm4m-v2_xyz.zip"
_COLUMNS = "idx,smiles,homolumogap"


class PCQM4Mv2(StoredDataset):
    """PCQM4Mv2 (Hu et al. 2021, PubChemQC: Nakata and Shimazaki 2017): B3LYP/6-31G* structures and HOMO-LUMO gaps.

    =========================  ============  ===============================================
    field                      shape         unit, meaning
    =========================  ============  ===============================================
    `z` `pos`                  (N,) (N, 3)   atomic number, Å
    `bond_index` `bond_order`  (2, B) (B,)   i < j, and 1, 1.5 (aromatic), 2, 3 } with
    `formal_charge`            (N,)          e                              } layout="sdf"
    `gap`                      (1,)          eV
    `smiles`                   str           as published, hydrogens implied
    `number`                   int           `idx` of the published table
    =========================  ============  ===============================================

    Only the molecules of the training split were published with a structure, and only they are read. Structure i
    belongs to row i of the table, which is checked by the heavy atoms of the row's SMILES. Atoms are those of the file.
    Its authors say that one release of the SD file lacks hydrogens (snap-stanford/ogb, issue 336): look at a molecule
    before training a method that needs all hydrogens, or take "xyz".

    Args:
        root: Folder of the data set. The published files are below `<root>/raw`.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
        layout: Source of the structures: "sdf", `pcqm4m-v2-train.sdf.tar.gz`, or "xyz", `pcqm4m-v2_xyz.zip`, which
            has no bonds (its list of files takes about 2 GB of memory while it is read).
        force_reload: Read the published files again in any case.
        skip_broken: List broken records in `skipped` instead of raising an error.

    Raises:
        ValueError: a file is damaged, truncated or out of order, or `layout` is unknown.

    Example:
        >>> PCQM4Mv2.units["gap"], PCQM4Mv2.num_molecules
        ('eV', 3378606)
    """

    units: ClassVar[Mapping[str, str]] = MappingProxyType({"pos": "Å", "gap": "eV", "formal_charge": "e"})
    license: ClassVar[str] = "CC BY 4.0"
    source: ClassVar[str] = "https://ogb.stanford.edu/docs/lsc/pcqm4mv2/"
    citation: ClassVar[str] = (
        "W. Hu, M. Fey, H. Ren, M. Nakata, Y. Dong, J. Leskovec, OGB-LSC: A large-scale challenge for machine learning "
        "on graphs, NeurIPS Datasets and Benchmarks (2021), arXiv:2103.09430; M. Nakata, T. Shimazaki, PubChemQC "
        "project, J. Chem. Inf. Model. 57, 1300 (2017), doi:10.1021/acs.jcim.7b00083"
    )
    num_molecules: ClassVar[int | None] = 3_378_606

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        layout: str = "sdf",
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        check_choice("layout", layout, ("sdf", "xyz"))
        self.layout = layout
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the published files."""
        return [_SDF if self.layout == "sdf" else _XYZ, _CSV]

    @property
    def processed_dir(self) -> str:
        """Folder of the stored molecules, one for each layout."""
        return os.path.join(self.root, "processed", self.layout)

    def download(self) -> None:
        """Fetch the published files that are missing."""
        raw = Path(self.raw_dir)
        geometry = self.raw_file_names[0]
        if not (raw / _CSV).is_file():
            unpack(download(_URL, raw / "pcqm4m-v2.zip"), raw, [_CSV], delete=True)
        download(_GEOMETRY_URL + geometry, raw / geometry)

    def molecules(self) -> Iterator[Data]:
        """Read the published files, one molecule at a time, in the order of the table."""
        geometry, table = self.raw_paths
        found = 0
        rows = _read_rows(table)
        for index, parse in _read_sdf(geometry) if self.layout == "sdf" else _read_xyz(geometry):
            row = next((row for row in rows if row.number == index), None)
            if row is None:
                raise ValueError(
                    f"{table} has no row {index}, but {geometry} a structure of that number; expected a row for "
                    "each. The table is truncated: fetch it anew."
                )
            found += 1
            try:
                data = _with_labels(parse(), row)
            except ValueError as error:
                self.broken(geometry, index, error)
                continue
            yield data
        check_count(geometry, found, self.num_molecules)


class _Row(NamedTuple):
    """Row of the table."""

    number: int
    smiles: str
    gap: str


def _read_rows(path: str) -> Iterator[_Row]:
    lines = file_lines(path)
    header = next(lines, "").strip()
    if header != _COLUMNS:
        raise ValueError(f"{path}, line 1: expected the columns {_COLUMNS}; got {header!r}.")
    for index, line in enumerate(lines):
        cells = line.rstrip("\r\n").split(",")
        if len(cells) != 3 or cells[0] != str(index):
            raise ValueError(
                f"{path}, line {index + 2}: expected row {index} with three cells; got {line.strip()!r}. Rows are "
                "missing, moved or damaged: fetch the file anew."
            )
        yield _Row(index, cells[1], cells[2])


def _read_sdf(path: str) -> Iterator[tuple[int, Callable[[], Data]]]:
    """Yield the number of each structure, and a function that parses it."""
    for _, lines in tar_files(path, ".sdf"):
        for record in read_records(lines, path):
            yield record.number - 1, functools.partial(parse_record, record)


def _read_xyz(path: str) -> Iterator[tuple[int, Callable[[], Data]]]:
    """Yield the same from the archive of XYZ files, in order of their numbers, not of their names."""
    with ZipArchive(path) as archive:
        numbered = {}
        for name in archive.names:
            if name.endswith(".xyz"):
                stem = PurePosixPath(name).stem
                if not stem.isdecimal() or int(stem) in numbered:
                    raise ValueError(
                        f"{path} has a file {name}; expected a folder's <number>.xyz, each number once. Fetch it anew."
                    )
                numbered[int(stem)] = name
        for number in sorted(numbered):
            yield number, functools.partial(parse_xyz, archive.lines(numbered[number]))


def _with_labels(data: Data, row: _Row) -> Data:
    """Add the labels of a row of the table, and check that it describes this molecule."""
    gap = float(row.gap or "nan")
    if not math.isfinite(gap):
        raise ValueError(f"homolumogap of row {row.number} must be finite; got {row.gap!r}.")
    expected = heavy_atoms(row.smiles)
    numbers, counts = data.z[data.z > 1].unique(return_counts=True)
    found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    if found != expected:
        raise ValueError(
            f"The structure has {_formula(found)} and row {row.number}, {row.smiles}, has {_formula(expected)}: they "
            "are of different molecules."
        )
    data.gap = torch.tensor([gap], dtype=torch.float32)
    data.smiles = row.smiles
    data.number = row.number
    return data


def _formula(atoms: Mapping[int, int]) -> str:
    return " ".join(f"{SYMBOLS[number - 1]}{atoms[number]}" for number in sorted(atoms))
