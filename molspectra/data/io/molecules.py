"""Molecules from whatever a user has: SMILES, RDKit and ASE objects, files of them, and what is ready already."""

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from torch_geometric.data import Batch, Data

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.ase import from_ase
from molspectra.data.chemistry.rdkit import from_rdkit
from molspectra.data.chemistry.smiles import from_smiles
from molspectra.data.io.sdf import read_records
from molspectra.data.molecule import validate

_STRUCTURE_FILES = (".sdf", ".sd", ".mol", ".xyz", ".extxyz")
_NAMELESS = ("Data", "RDKit molecule")
_SMILES_FILES = (".smi", ".smiles")


class ReadMolecule(NamedTuple):
    """One molecule of a source, or why it could not be read."""

    name: str
    """Its SMILES, its title in a file, or its place in the source."""
    molecule: Data | None
    """The molecule; None if it could not be read."""
    problem: str | None
    """What is wrong with it; None if nothing is."""


def read_molecules(source: Any, *, seed: int = 0) -> Iterator[ReadMolecule]:
    """Molecules one after the other, each with its name, or with the reason why it could not be read.

    What is wrong with one molecule stops none of the others. What is no source at all is refused.

    Args:
        source: A SMILES string; an RDKit molecule with a conformer; an ASE `Atoms`; a `Data` or `Batch`; the path of a
            file (.sdf, .sd, .mol; .xyz, .extxyz with one frame or many; .smi, .smiles with a SMILES and perhaps a name
            in each line); or an iterable of all of these. A string with one of these endings is a path.
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
    if isinstance(source, str) and not source.lower().endswith(_STRUCTURE_FILES + _SMILES_FILES):
        yield _attempt(source, from_smiles, source, seed=seed)
    elif isinstance(source, str | Path):
        yield from _read_file(Path(source), seed)
    elif isinstance(source, Batch):
        yield from read_molecules(source.to_data_list(), seed=seed)
    elif isinstance(source, Data):
        yield _attempt(_name_of(source), _checked, source)
    elif _comes_from(source, "rdkit.Chem") and hasattr(source, "GetConformers"):
        yield _attempt(_title(source) or _NAMELESS[1], from_rdkit, source)
    elif _comes_from(source, "ase.atoms"):
        yield _attempt(source.get_chemical_formula(), from_ase, source)
    elif isinstance(source, Iterable):
        for place, entry in enumerate(source):
            if entry is None or isinstance(entry, float):  # RDKit's readers and tables of pandas say so
                yield ReadMolecule(f"entry {place}", None, f"There is no molecule: got {entry}.")
            else:
                yield from _named_by_place(read_molecules(entry, seed=seed), place)
    else:
        raise TypeError(
            "molecules must be SMILES, RDKit molecules, ase.Atoms, torch_geometric Data, the path of a file, or an "
            f"iterable of these; got a {type(source).__name__}."
        )


def _named_by_place(reads: Iterator[ReadMolecule], place: int) -> Iterator[ReadMolecule]:
    for read in reads:
        yield read._replace(name=f"entry {place}") if read.name in _NAMELESS else read


def _attempt(name: str, make: Any, *arguments: Any, **keywords: Any) -> ReadMolecule:
    try:
        return ReadMolecule(name, make(*arguments, **keywords), None)
    except (TypeError, ValueError) as error:
        return ReadMolecule(name, None, str(error))


def _checked(data: Data) -> Data:
    validate(data, kinds=())
    if data.batch is not None and bool((data.batch != data.batch[0]).any()):
        raise ValueError("A Data must be one molecule; its field batch has several. Make it a Batch, or take it apart.")
    return data


def _name_of(data: Data) -> str:
    for field in ("name", "smiles"):
        if isinstance(data.get(field), str):
            return data[field]
    return _NAMELESS[0]


def _comes_from(entry: Any, package: str) -> bool:
    """Whether one of the entry's classes is of a package, which need not be installed."""
    return any(cls.__module__.startswith(package) for cls in type(entry).__mro__)


def _title(mol: Any) -> str:
    return mol.GetProp("_Name").strip() if mol.HasProp("_Name") else ""


def _read_file(path: Path, seed: int) -> Iterator[ReadMolecule]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. A string that ends in {path.suffix} is taken for a path.")
    suffix = path.suffix.lower()
    if suffix in _SMILES_FILES:
        return _read_smiles_file(path, seed)
    if suffix in (".xyz", ".extxyz"):
        return _read_xyz(path)
    if suffix in _STRUCTURE_FILES:
        return _read_sdf(path)
    raise ValueError(f"{path} must end in one of {', '.join(_STRUCTURE_FILES + _SMILES_FILES)}; got {suffix!r}.")


def _read_smiles_file(path: Path, seed: int) -> Iterator[ReadMolecule]:
    with _open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            smiles, *title = line.split(maxsplit=1)
            name = title[0].strip() if title else smiles
            read = _attempt(name, from_smiles, smiles, seed=seed)
            yield read if read.problem is None else read._replace(name=f"{path.name}, line {number}: {name}")


def _read_sdf(path: Path) -> Iterator[ReadMolecule]:
    chem = import_rdkit("Reading .sdf").Chem
    # Cut up here: RDKit, having lost its place in a damaged record, reads on into the next one.
    with _open_text(path) as lines:
        for record in read_records(lines, path, open_ended=True):
            place, title = f"{path.name}, record {record.number}", record.title
            read = _attempt(title or place, _from_mol_block, "\n".join(record.lines) + "\n", chem)
            yield read if read.problem is None else read._replace(name=f"{place}: {title}" if title else place)


def _from_mol_block(record: str, chem: Any) -> Data:
    with import_rdkit("Reading .sdf").rdBase.BlockLogs():
        mol = chem.MolFromMolBlock(record, removeHs=False)
    if mol is None:
        raise ValueError("RDKit cannot read the record, or its valences are impossible.")
    return from_rdkit(mol)


def _read_xyz(path: Path) -> Iterator[ReadMolecule]:
    try:
        import ase.io
    except ImportError as error:
        raise ImportError("Reading .xyz needs ASE; install it with `pip install molspectra[ase]`.") from error

    def parse(text: str) -> Data:
        try:
            return from_ase(ase.io.read(io.StringIO(text), format="extxyz"))
        except (KeyError, IndexError, OSError) as error:
            raise ValueError(f"ASE cannot read the frame: {error}") from error

    with _open_text(path) as lines:
        number = frame = 0
        for line in lines:
            number += 1
            if not line.strip():
                continue
            frame += 1
            place = f"{path.name}, frame {frame}"
            if not line.strip().isdecimal():
                wrong = f"Line {number} must hold the number of atoms; got {line.strip()!r}."
                yield ReadMolecule(place, None, f"{wrong} Nothing after it was read.")
                return
            body = list(islice(lines, int(line) + 1))
            number += len(body)
            if len(body) < int(line) + 1:
                yield ReadMolecule(place, None, f"The file ends within the frame, which should have {int(line)} atoms.")
                return
            yield _attempt(place, parse, line + "".join(body))


def _open_text(path: Path) -> IO[str]:
    """Names and comments in other encodings than UTF-8 lose a letter, and nothing else."""
    return path.open(encoding="utf-8-sig", errors="replace")
