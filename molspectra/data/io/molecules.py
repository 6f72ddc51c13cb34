"""Molecules from any source: SMILES, RDKit and ASE objects, files of them, and `Data` itself."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch_geometric.data import Batch, Data

from molspectra.data.chemistry.ase import from_ase
from molspectra.data.chemistry.rdkit import from_rdkit
from molspectra.data.chemistry.smiles import from_smiles
from molspectra.data.io.sdf import convert_record, read_records
from molspectra.data.io.text import open_text
from molspectra.data.io.xyz import read_frames
from molspectra.data.molecule import validate

_SDF_FILES = (".sdf", ".sd", ".mol")
_XYZ_FILES = (".xyz", ".extxyz")
_SMILES_FILES = (".smi", ".smiles")
_FILES = _SDF_FILES + _XYZ_FILES + _SMILES_FILES
# Names of molecules that have none; in a sequence, their place is a better one.
_NAMELESS = ("Data", "RDKit molecule")


class ReadMolecule(NamedTuple):
    """One molecule of a source, or the reason why it could not be read."""

    name: str
    """Its SMILES, its title in a file, or its place in the source."""
    molecule: Data | None
    """The molecule, or None if it could not be read."""
    problem: str | None
    """The reason why it could not be read, None otherwise."""


def read_molecules(source: Any, *, seed: int = 0) -> Iterator[ReadMolecule]:
    """Read molecules one after the other, each with its name, or with the reason why it could not be read.

    A faulty molecule does not stop the others. A source of an unknown type is refused.

    Args:
        source: A SMILES string, an RDKit molecule with a conformer, an ASE `Atoms`, a `Data` or `Batch`, the path of a
            file, or an iterable of all of these. Files are .sdf, .sd, .mol, .xyz and .extxyz with one frame or many,
            .smi and .smiles with a SMILES and perhaps a name in each line. A string with one of these endings is a
            path.
        seed: Seed of the conformers that are made for SMILES.

    Yields:
        :class:`ReadMolecule`, in the order of the source.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: the source, or one entry of it, is none of these.
        ImportError: RDKit or ASE is needed and not installed.

    Example:
        >>> [(read.name, read.problem is None) for read in read_molecules(["O", "C1CC"])]
        [('O', True), ('C1CC', False)]
    """
    if isinstance(source, str) and not source.lower().endswith(_FILES):
        yield _attempt(source, partial(from_smiles, source, seed=seed))
    elif isinstance(source, str | Path):
        yield from _read_file(Path(source), seed)
    elif isinstance(source, Batch):
        yield from read_molecules(source.to_data_list(), seed=seed)
    elif isinstance(source, Data):
        yield _attempt(_name_of(source), partial(_checked, source))
    elif _comes_from(source, "rdkit.Chem") and hasattr(source, "GetConformers"):
        yield _attempt(_title(source) or _NAMELESS[1], partial(from_rdkit, source))
    elif _comes_from(source, "ase.atoms"):
        yield _attempt(source.get_chemical_formula(), partial(from_ase, source))
    elif isinstance(source, Iterable):
        for place, entry in enumerate(source):
            if entry is None or isinstance(entry, float):  # a missing entry, in RDKit's readers or pandas' tables
                yield ReadMolecule(f"entry {place}", None, f"There is no molecule: got {entry}.")
            else:
                yield from _named_by_place(read_molecules(entry, seed=seed), place)
    else:
        raise TypeError(
            "molecules must be SMILES, RDKit molecules, ase.Atoms, torch_geometric Data, the path of a file, or an "
            f"iterable of these; got a {type(source).__name__}."
        )


def _attempt(name: str, make: Callable[[], Data]) -> ReadMolecule:
    """Make a molecule. A faulty one raises ValueError. Any other error is a bug, and passes through."""
    try:
        return ReadMolecule(name, make(), None)
    except ValueError as error:
        return ReadMolecule(name, None, str(error))


def _checked(data: Data) -> Data:
    try:
        validate(data, kinds=())
    except TypeError as error:  # a field of wrong dtype is a fault of this molecule
        raise ValueError(str(error)) from error
    if data.batch is not None and bool((data.batch != data.batch[0]).any()):
        raise ValueError("A Data must be one molecule; its field batch has several. Make it a Batch, or take it apart.")
    return data


def _named_by_place(reads: Iterator[ReadMolecule], place: int) -> Iterator[ReadMolecule]:
    for read in reads:
        yield read._replace(name=f"entry {place}") if read.name in _NAMELESS else read


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


def _read_file(path: Path, seed: int) -> Iterator[ReadMolecule]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. A string that ends in {path.suffix} is taken for a path.")
    suffix = path.suffix.lower()
    if suffix in _SMILES_FILES:
        return _read_smiles(path, seed)
    if suffix in _XYZ_FILES:
        return _read_xyz(path)
    if suffix in _SDF_FILES:
        return _read_sdf(path)
    raise ValueError(f"{path} must end in one of {', '.join(_FILES)}; got {suffix!r}.")


def _read_smiles(path: Path, seed: int) -> Iterator[ReadMolecule]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            smiles, *title = line.split(maxsplit=1)
            name = title[0].strip() if title else smiles
            read = _attempt(name, partial(from_smiles, smiles, seed=seed))
            yield read if read.problem is None else read._replace(name=f"{path.name}, line {number}: {name}")


def _read_sdf(path: Path) -> Iterator[ReadMolecule]:
    # Records are split here, because RDKit reads from a damaged record on into the next one.
    with open_text(path) as lines:
        for record in read_records(lines, path, open_ended=True):
            place, title = f"{path.name}, record {record.number}", record.title
            read = _attempt(title or place, partial(convert_record, record))
            yield read if read.problem is None else read._replace(name=f"{place}: {title}" if title else place)


def _read_xyz(path: Path) -> Iterator[ReadMolecule]:
    number = 0
    with open_text(path) as lines:
        try:
            for frame in read_frames(lines):
                number = frame.number
                yield _attempt(f"{path.name}, frame {number}", frame.parse)
        except ValueError as error:  # frames cannot be told apart any longer
            yield ReadMolecule(f"{path.name}, frame {number + 1}", None, str(error))
