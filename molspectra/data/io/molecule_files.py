"""Files of molecules: SD, XYZ and SMILES files and tables, read one molecule after the other."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch_geometric.data import Data

from molspectra.data.chemistry.smiles import from_smiles
from molspectra.data.io.sdf import SDFRecord, convert_record, read_records
from molspectra.data.io.sdf_properties import parse_properties, property_fields
from molspectra.data.io.tables import TABLE_FILES, TableRow, read_table_file, refuse_columns
from molspectra.data.io.text import open_text
from molspectra.data.io.xyz import read_frames

_SDF_FILES = (".sdf", ".sd", ".mol")
_XYZ_FILES = (".xyz", ".extxyz")
_SMILES_FILES = (".smi", ".smiles")
MOLECULE_FILES = _SDF_FILES + _XYZ_FILES + _SMILES_FILES + TABLE_FILES
"""Endings of the files that can be read."""

# A name and an ending with a lower-case letter that no SMILES has, or a separator of folders before them.
_FILE_NAME = re.compile(r"[^=#]*\.[a-z][a-z0-9]{1,7}")


class ReadMolecule(NamedTuple):
    """One molecule of a source, or the reason why it could not be read."""

    name: str
    """Its SMILES, its title in a file, or its place in the source."""
    molecule: Data | None
    """The molecule, or None if it could not be read."""
    problem: str | None
    """The reason why it could not be read, None otherwise."""


def attempt(name: str, make: Callable[[], Data]) -> ReadMolecule:
    """Make a molecule. A faulty one raises ValueError. Any other error is a bug, and passes through."""
    try:
        return ReadMolecule(name, make(), None)
    except ValueError as error:
        return ReadMolecule(name, None, str(error))


def read_smiles(smiles: str, seed: int) -> ReadMolecule:
    """Make a conformer of a SMILES. The name of a file that cannot be read is a problem of its own."""
    read = attempt(smiles, partial(from_smiles, smiles, seed=seed))
    return read if read.problem is None or not _is_file_name(smiles) else read._replace(problem=unknown_file(smiles))


def read_file(path: Path, seed: int, smiles: str | None, labels: Sequence[str] | None) -> Iterator[ReadMolecule]:
    """Read the molecules of a file.

    Args:
        path: The file.
        seed: Seed of conformers.
        smiles: Column of SMILES of a table.
        labels: Names of labels of a table or an SD file, or None for all properties of an SD file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its ending is unknown, or it lacks a column.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. A string that ends in {path.suffix} is taken for a path.")
    suffix = path.suffix.lower()
    if suffix in TABLE_FILES:
        return (read_row(row, seed) for row in read_table_file(path, smiles, labels or ()))
    if suffix in _SDF_FILES:
        refuse_columns(path.name, smiles, None)
        return _read_sdf(path, labels)
    refuse_columns(path.name, smiles, labels)
    if suffix in _SMILES_FILES:
        return _read_smiles(path, seed)
    if suffix in _XYZ_FILES:
        return _read_xyz(path)
    raise ValueError(unknown_file(str(path)))


def read_row(row: TableRow, seed: int) -> ReadMolecule:
    """Make a conformer of the SMILES in a row of a table, with its labels."""
    if row.problem is not None or not isinstance(row.smiles, str):
        return ReadMolecule(row.place, None, row.problem or f"There is no SMILES: got {row.smiles}.")

    def make() -> Data:
        fields = row.label_fields()
        molecule = from_smiles(row.smiles, seed=seed)
        for name, value in fields.items():
            molecule[name] = value
        return molecule

    read = attempt(row.smiles, make)
    return read if read.problem is None else read._replace(name=f"{row.place}: {row.smiles}")


def unknown_file(path: str) -> str:
    """Return the message for a file that cannot be read."""
    return (
        f"A file must end in one of {', '.join(MOLECULE_FILES)}; got {path!r}. Convert it to .sdf, for example with "
        "Open Babel."
    )


def _is_file_name(text: str) -> bool:
    return _FILE_NAME.fullmatch(text.strip()) is not None or os.path.isfile(text)


def _read_smiles(path: Path, seed: int) -> Iterator[ReadMolecule]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            smiles, *title = line.split(maxsplit=1)
            name = title[0].strip() if title else smiles
            read = attempt(name, partial(from_smiles, smiles, seed=seed))
            yield read if read.problem is None else read._replace(name=f"{path.name}, line {number}: {name}")


def _read_sdf(path: Path, labels: Sequence[str] | None) -> Iterator[ReadMolecule]:
    def convert(record: SDFRecord) -> Data:
        molecule = convert_record(record)
        if labels != ():
            for name, value in property_fields(parse_properties(record.lines), labels).items():
                molecule[name] = value
        return molecule

    # Records are split here, because RDKit reads from a damaged record on into the next one.
    with open_text(path) as lines:
        for record in read_records(lines, path, open_ended=True):
            place, title = f"{path.name}, record {record.number}", record.title
            read = attempt(title or place, partial(convert, record))
            yield read if read.problem is None else read._replace(name=f"{place}: {title}" if title else place)


def _read_xyz(path: Path) -> Iterator[ReadMolecule]:
    number = 0
    with open_text(path) as lines:
        try:
            for frame in read_frames(lines):
                number = frame.number
                yield attempt(f"{path.name}, frame {number}", frame.parse)
        except ValueError as error:  # frames cannot be told apart any longer
            yield ReadMolecule(f"{path.name}, frame {number + 1}", None, str(error))
