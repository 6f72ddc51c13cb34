"""Files of molecules: SD, XYZ and SMILES files and tables, read one molecule after the other."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from torch_geometric.data import Data

from molspectra.data.io.file_names import MOLECULE_FILES, SDF_FILES, SMILES_FILES, unknown_file
from molspectra.data.io.sdf import SDFRecord, convert_record, read_records
from molspectra.data.io.sdf_properties import parse_properties, property_fields
from molspectra.data.io.smiles_entries import Entry, ReadMolecule, SmilesEntry, attempt
from molspectra.data.io.tables import TABLE_FILES, TableRow, read_table_file, refuse_columns
from molspectra.data.io.text import open_text, refuse_folder
from molspectra.data.io.xyz import read_frames


def read_file(path: Path, seed: int, smiles: str | None, labels: Sequence[str] | None) -> Iterator[Entry]:
    """Read the molecules of a file.

    Args:
        path: The file.
        seed: Seed of conformers.
        smiles: Column of SMILES of a table.
        labels: Names of labels of a table or an SD file, or None for all properties of an SD file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its ending is unknown, it is a folder, lacks a column, or holds no molecule.
    """
    refuse_folder(path)
    if not path.is_file():
        taken = f" A string that ends in {path.suffix} is taken for a path." if path.suffix else ""
        raise FileNotFoundError(f"There is no file {path}.{taken}")
    suffix = path.suffix.lower()
    if suffix not in MOLECULE_FILES:
        raise ValueError(unknown_file(str(path)))
    if suffix not in TABLE_FILES:
        refuse_columns(path.name, smiles, None if suffix in SDF_FILES else labels)
    return _not_empty(path, _entries(path, suffix, seed, smiles, labels))


def _entries(path: Path, suffix: str, seed: int, smiles: str | None, labels: Sequence[str] | None) -> Iterator[Entry]:
    if suffix in TABLE_FILES:
        return (read_row(row, seed) for row in read_table_file(path, smiles, labels or ()))
    if suffix in SDF_FILES:
        return _read_sdf(path, labels)
    return _read_smiles(path, seed) if suffix in SMILES_FILES else _read_xyz(path)


def _not_empty(path: Path, entries: Iterator[Entry]) -> Iterator[Entry]:
    empty = True
    for entry in entries:
        empty = False
        yield entry
    if empty:
        raise ValueError(f"{path} must hold at least one molecule; it holds none. Was it written to its end?")


def read_row(row: TableRow, seed: int) -> Entry:
    """Return the entry of a row of a table, with its labels."""
    if row.problem is not None or not isinstance(row.smiles, str):
        return ReadMolecule(row.place, None, row.problem or f"There is no SMILES: got {row.smiles}.")
    return SmilesEntry(row, seed, row.smiles, f"{row.place}: {row.smiles}")


def _read_smiles(path: Path, seed: int) -> Iterator[Entry]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            smiles, name = _smiles_and_name(line)
            place = f"{path.name}, line {number}"
            yield SmilesEntry(TableRow(place, smiles, {}), seed, name, f"{place}: {name}")


def _smiles_and_name(line: str) -> tuple[str, str]:
    """Split a line into a SMILES, with its ChemAxon extension (|^1:1|) if it has one, and a name."""
    smiles, *others = line.split(maxsplit=1)
    rest = others[0].strip() if others else ""
    if rest.startswith("|") and "|" in rest[1:]:
        extension, _, rest = rest[1:].partition("|")
        smiles, rest = f"{smiles} |{extension}|", rest.strip()
    return smiles, rest or smiles


def _read_sdf(path: Path, labels: Sequence[str] | None) -> Iterator[Entry]:
    found: set[str] = set()
    has_faults = False

    def convert(record: SDFRecord) -> Data:
        molecule = convert_record(record)
        if labels != ():
            stated = parse_properties(record.lines)
            found.update(stated)
            for name, value in property_fields(stated, labels).items():
                molecule[name] = value
        return molecule

    # Records are split here, because RDKit reads from a damaged record on into the next one.
    with open_text(path) as lines:
        for record in read_records(lines, path, open_ended=True):
            place, title = f"{path.name}, record {record.number}", record.title
            read = attempt(title or place, partial(convert, record))
            has_faults |= read.problem is not None
            yield read if read.problem is None else read._replace(name=f"{place}: {title}" if title else place)
    unknown = [name for name in labels or () if name not in found]
    if unknown and not has_faults:
        raise ValueError(f"No record of {path} has the properties {unknown}; the file has {sorted(found)}.")


def _read_xyz(path: Path) -> Iterator[Entry]:
    number = 0
    with open_text(path) as lines:
        try:
            for frame in read_frames(lines):
                number = frame.number
                yield attempt(f"{path.name}, frame {number}", frame.parse)
        except ValueError as error:  # frames cannot be told apart any longer
            yield ReadMolecule(f"{path.name}, frame {number + 1}", None, str(error))
