"""Molecules from any source: SMILES, RDKit and ASE objects, files and tables of them, and `Data` itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra.data.chemistry.ase import from_ase
from molspectra.data.chemistry.rdkit import from_rdkit
from molspectra.data.io.conformer_processes import read_entries
from molspectra.data.io.file_names import MOLECULE_FILES, unknown_file
from molspectra.data.io.molecule_files import read_file, read_row
from molspectra.data.io.smiles_entries import Entry, ReadMolecule, attempt, smiles_entry
from molspectra.data.io.tables import (
    TableRow,
    check_columns,
    check_label_names,
    column_names,
    is_missing,
    refuse_columns,
    table_rows,
)
from molspectra.data.molecule import validate

# Names of molecules that have none; in a sequence, their place is a better one.
_NAMELESS = ("Data", "RDKit molecule")


def read_molecules(
    source: Any, *, smiles: str | None = None, labels: Sequence[str] | None = None, seed: int = 0, num_workers: int = 0
) -> Iterator[ReadMolecule]:
    """Read molecules one after the other, each with its name, or with the reason why it could not be read.

    A faulty molecule, and a missing one (None, NaN, `pandas.NA`), costs only its own row. A source of an unknown type
    is refused.

    Files are .sdf, .sd, .mol, .xyz and .extxyz with one frame or many, .smi and .smiles with a SMILES and perhaps a
    name in each line, .csv and .tsv. A string with one of these endings is a path. The files of QM9 give the fields of
    :class:`molspectra.data.QM9`.

    Args:
        source: A SMILES string, an RDKit molecule with a conformer, an ASE `Atoms`, a `Data` or `Batch`, the path of a
            file, a table, or an iterable of all of these. Tables are mappings of columns, data frames (pandas, Polars,
            PyArrow), structured arrays, and iterables of rows that are mappings.
        smiles: Column with the SMILES of a table. Tables are refused without it.
        labels: Columns of a table, or properties of an SD file, that become fields of each molecule: (1,) float64, NaN
            where a cell is empty. By default none of a table and all properties of an SD file: numbers as (1,) float64,
            other values as text. Names that torch_geometric treats in its own way, such as those with "index" or
            "batch", are left out with a warning.
        seed: Seed of the conformers that are made for SMILES.
        num_workers: Processes that make conformers, a little ahead. 0 for this process alone. Results are the same.

    Yields:
        :class:`ReadMolecule`, in the order of the source.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: the source, or one entry of it, is none of these, or `labels` is a single string.
        ValueError: a table lacks a column, or none is named, a label has the name of another field, or the ending of a
            file is unknown.
        ImportError: RDKit or ASE is needed and not installed.

    Example:
        >>> [(read.name, read.problem is None) for read in read_molecules(["O", "C1CC"])]
        [('O', True), ('C1CC', False)]
        >>> table = {"smiles": ["CCO", None], "logp": [-0.31, 2.0]}
        >>> [read.molecule and read.molecule.logp for read in read_molecules(table, smiles="smiles", labels=["logp"])]
        [tensor([-0.3100], dtype=torch.float64), None]
    """
    if num_workers < 0:
        raise ValueError(f"num_workers must be at least 0; got {num_workers}.")
    if labels is not None:
        labels = check_label_names(labels)
    yield from read_entries(_entries(source, smiles, labels, seed), num_workers)


def _entries(source: Any, smiles: str | None, labels: Sequence[str] | None, seed: int) -> Iterator[Entry]:
    if isinstance(source, str | Path):
        yield from _read_text_or_file(source, smiles, labels, seed)
    elif isinstance(source, Batch):
        yield from _entries(source.to_data_list(), smiles, labels, seed)
    elif column_names(source) is not None and not _is_molecule(source):
        yield from (read_row(row, seed) for row in table_rows(source, smiles, labels or ()))
    elif _is_molecule(source):
        refuse_columns(type(source).__name__, smiles, labels)
        yield _read_molecule(source)
    elif isinstance(source, Iterable) and not isinstance(source, bytes | set | frozenset | Tensor):
        for place, entry in enumerate(source):
            yield from _read_entry(entry, place, smiles, labels, seed)
    else:
        raise TypeError(
            "molecules must be SMILES, RDKit molecules, ase.Atoms, torch_geometric Data, the path of a file, a table, "
            f"or an iterable of these in a fixed order; got a {type(source).__name__}."
        )


def _read_text_or_file(
    source: str | Path, smiles: str | None, labels: Sequence[str] | None, seed: int
) -> Iterator[Entry]:
    if isinstance(source, Path) or source.lower().endswith(MOLECULE_FILES):
        yield from read_file(Path(source), seed, smiles, labels)
        return
    refuse_columns("A string", smiles, labels)
    read = smiles_entry(source, seed).read()
    if read.problem == unknown_file(source):
        raise ValueError(read.problem)
    yield read


def _is_molecule(source: Any) -> bool:
    is_rdkit = _comes_from(source, "rdkit.Chem") and hasattr(source, "GetConformers")
    return is_rdkit or isinstance(source, Data) or _comes_from(source, "ase.atoms")


def _read_molecule(source: Any) -> ReadMolecule:
    if isinstance(source, Data):
        return attempt(_name_of(source), partial(_checked, source))
    if _comes_from(source, "ase.atoms"):
        return attempt(source.get_chemical_formula(), partial(from_ase, source))
    return attempt(_title(source) or _NAMELESS[1], partial(from_rdkit, source))


def _read_entry(entry: Any, place: int, smiles: str | None, labels: Sequence[str] | None, seed: int) -> Iterator[Entry]:
    """Read one entry of an iterable, which may be a file of many molecules."""
    if isinstance(entry, Mapping):
        check_columns(f"Entry {place}", column_names(entry) or [], smiles, labels or ())
        yield read_row(TableRow(f"entry {place}", entry[smiles], {name: entry[name] for name in labels or ()}), seed)
    elif is_missing(entry) or isinstance(entry, float):  # in RDKit's readers, or in tables
        yield ReadMolecule(f"entry {place}", None, f"There is no molecule: got {entry}.")
    elif isinstance(entry, str) and not entry.lower().endswith(MOLECULE_FILES):
        refuse_columns("A string", smiles, labels)
        yield smiles_entry(entry, seed)
    elif _is_row(entry):
        raise ValueError(
            f"Entry {place} of molecules is a row with several entries: {str(entry)[:60]}. Pass one column of SMILES, "
            'or a table and the name of its column: smiles="...".'
        )
    else:
        for read in _entries(entry, smiles, labels, seed):
            unnamed = isinstance(read, ReadMolecule) and read.name in _NAMELESS
            yield read._replace(name=f"entry {place}") if unnamed else read


def _is_row(entry: Any) -> bool:
    """Return True for a row of a table as a sequence: text that is no path, among other entries."""
    if not isinstance(entry, list | tuple) and not hasattr(entry, "tolist"):
        return False
    return isinstance(entry, Iterable) and any(
        isinstance(cell, str) and not cell.lower().endswith(MOLECULE_FILES) for cell in entry
    )


def _checked(data: Data) -> Data:
    try:
        validate(data, kinds=())
    except TypeError as error:  # a field of wrong dtype is a fault of this molecule
        raise ValueError(str(error)) from error
    if data.batch is not None and bool((data.batch != data.batch[0]).any()):
        raise ValueError("A Data must be one molecule; its field batch has several. Make it a Batch, or take it apart.")
    return data


def _name_of(data: Data) -> str:
    for field in ("name", "smiles"):
        if isinstance(data.get(field), str):
            return data[field]
    return _NAMELESS[0]


def _comes_from(entry: Any, package: str) -> bool:
    """Check that one of the entry's classes belongs to a package, which need not be installed."""
    return any(cls.__module__.startswith(package) for cls in type(entry).__mro__)


def _title(mol: Any) -> str:
    return mol.GetProp("_Name").strip() if mol.HasProp("_Name") else ""
