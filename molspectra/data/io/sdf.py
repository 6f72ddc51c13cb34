"""SD files: molecules with positions and bonds, split into records and parsed with or without RDKit."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch_geometric.data import Data

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.distances import check_geometry
from molspectra.data.chemistry.elements import atomic_number
from molspectra.data.chemistry.rdkit import atoms_and_bonds, from_rdkit
from molspectra.data.io.text import to_float, to_int

_HEADER = 4  # title, program, comment, counts
_AROMATIC = 4
_ORDERS = {1: 1.0, 2: 2.0, 3: 3.0, _AROMATIC: 1.5}
_CHARGES = {0: 0, 1: 3, 2: 2, 3: 1, 4: 0, 5: -1, 6: -2, 7: -3}  # codes of the atom block; 4 is a doublet radical
_MAX_CHARGES_PER_LINE = 8
_ISOTOPES = {"D": 1, "T": 1}


class SDFRecord(NamedTuple):
    """Lines of one molecule, without the `$$$$` that ends it."""

    number: int
    """1, 2, …"""
    first_line: int
    """Number of its first line in the file, from 1."""
    lines: list[str]

    @property
    def title(self) -> str:
        """First line of the record."""
        return self.lines[0].strip() if self.lines else ""


def read_records(lines: Iterable[str], file: str | Path, open_ended: bool = False) -> Iterator[SDFRecord]:
    """Split an SD file into records, holding one at a time.

    Args:
        lines: Lines of the file.
        file: Its name, for the message.
        open_ended: Accept a last record without the line that ends it, as in a .mol file.

    Yields:
        Records in the order of the file.

    Raises:
        ValueError: the file ends within a record.
    """
    number, first, current = 1, 1, 0
    record: list[str] = []
    for current, line in enumerate(lines, 1):
        if line.startswith("$$$$"):
            yield SDFRecord(number, first, record)
            number, first, record = number + 1, current + 1, []
        else:
            record.append(line.rstrip("\r\n"))
    if any(line.strip() for line in record):
        if open_ended:
            yield SDFRecord(number, first, record)
            return
        raise ValueError(
            f"{file} ends at line {current}, within record {number}: the file is truncated. Fetch it anew."
        )


def parse_record(record: SDFRecord) -> Data:
    """Convert an SD record in the V2000 format to a molecule, without RDKit.

    The columns of the format are fixed. Properties below the molecule are not read.

    Args:
        record: From :func:`read_records`.

    Returns:
        `z`, `pos` (float32, Å), `bond_index` (i < j), `bond_order` and `formal_charge`, as stated in the record.

    Raises:
        ValueError: the record is damaged or in another format. The message names the line.
    """
    lines = record.lines
    if len(lines) < _HEADER:
        raise ValueError(f"Line {record.first_line}: the record has {len(lines)} lines, and no counts line.")
    with _at(record, _HEADER - 1, "a V2000 counts line"):
        counts = lines[_HEADER - 1]
        num_atoms, num_bonds = to_int(counts[:3]), to_int(counts[3:6])
        if "V2000" not in counts or num_atoms < 1 or num_bonds < 0:
            raise ValueError("it must state V2000 and at least one atom.")
    end = _HEADER + num_atoms + num_bonds
    z, pos, charges = _parse_atoms(record, num_atoms)
    pairs, orders = _parse_bonds(record, _HEADER + num_atoms, num_bonds, num_atoms)
    with _at(record, end, "M  END or another property, after the stated number of bonds"):
        if not lines[end][:1].isalpha() or "M  END" not in (line.rstrip() for line in lines[end:]):
            raise ValueError("the record has no M  END, or more atoms or bonds")
    charges = _parse_charges(record, end, charges)
    return Data(
        z=torch.tensor(z, dtype=torch.int64),
        pos=torch.tensor(pos, dtype=torch.float32),
        bond_index=torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t().contiguous(),
        bond_order=torch.tensor(orders, dtype=torch.float32),
        formal_charge=torch.tensor(charges, dtype=torch.int64),
    )


def convert_record(record: SDFRecord) -> Data:
    """Convert an SD record in any format that RDKit reads.

    Valences that RDKit finds impossible, such as those of zwitterions without charges, leave the positions and bonds as
    they are stated. Such a molecule has neither `formal_charge` nor `smiles`.

    Args:
        record: From :func:`read_records`.

    Returns:
        The fields of :func:`molspectra.data.from_rdkit`.

    Raises:
        ImportError: RDKit is not installed.
        ValueError: RDKit refuses the record, or it is a drawing without positions or hydrogens.
    """
    rdkit = import_rdkit("Reading .sdf")
    ends = [number for number, line in enumerate(record.lines, record.first_line) if line.startswith("M  END")]
    if len(ends) > 1:
        raise ValueError(f"The record has an M  END in each of lines {ends}: a line of $$$$ between molecules is lost.")
    if any("V2000" in line for line in record.lines[_HEADER - 1 : _HEADER]):
        _check_positions(record)
    block = "\n".join(record.lines) + "\n"
    with rdkit.rdBase.BlockLogs():
        mol = rdkit.Chem.MolFromMolBlock(block, removeHs=False)
        if mol is not None:
            return from_rdkit(mol)
        unchecked = rdkit.Chem.MolFromMolBlock(block, sanitize=False, removeHs=False)
        if unchecked is None:
            raise ValueError("RDKit cannot read the record.")
        return _as_stated(record, unchecked)


def _check_positions(record: SDFRecord) -> None:
    """Refuse positions that are no numbers. RDKit reads 1,25 and 1 25 as 1."""
    with _at(record, _HEADER - 1, "a V2000 counts line"):
        num_atoms = to_int(record.lines[_HEADER - 1][:3])
    for number in range(_HEADER, _HEADER + num_atoms):
        with _at(record, number, "an atom: x, y, z and a symbol"):
            _parse_position(record.lines[number])


def _as_stated(record: SDFRecord, mol: Any) -> Data:
    """Convert a record whose valences RDKit refuses, without charges, which cannot be right."""
    problems = "; ".join(
        problem.Message() for problem in import_rdkit("Reading .sdf").Chem.DetectChemistryProblems(mol)
    )
    if not mol.GetConformer().Is3D():
        raise ValueError(f"The record is a drawing without positions, and its valences are impossible: {problems}.")
    mol.UpdatePropertyCache(strict=False)
    carbons = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 6]
    bound = any(neighbor.GetAtomicNum() == 1 for atom in carbons for neighbor in atom.GetNeighbors())
    if not bound and any(atom.GetTotalNumHs() for atom in carbons):
        raise ValueError(f"The record has no hydrogens on carbon, and its valences are impossible: {problems}.")
    if any("V2000" in line for line in record.lines[:_HEADER]):
        data = parse_record(record)
        check_geometry(data)
        del data.formal_charge
        return data
    unknown = {bond.GetBondTypeAsDouble() for bond in mol.GetBonds()} - set(_ORDERS.values())
    if unknown or any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        raise ValueError(f"The record has atoms or bonds without a type, and its valences are impossible: {problems}.")
    return atoms_and_bonds(mol, mol.GetConformer())


class _at:
    """Context in which errors about a line become one that names it."""

    def __init__(self, record: SDFRecord, line: int, expected: str) -> None:
        self.record, self.line, self.expected = record, line, expected

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError | KeyError | IndexError):
            lines = self.record.lines
            found = repr(lines[self.line]) if self.line < len(lines) else "the end of the record"
            raise ValueError(
                f"Line {self.record.first_line + self.line} must be {self.expected}; got {found} ({error})."
            ) from error


def _parse_atoms(record: SDFRecord, num_atoms: int) -> tuple[list[int], list[list[float]], list[int]]:
    z, pos, charges = [], [], []
    for number in range(_HEADER, _HEADER + num_atoms):
        with _at(record, number, "an atom: x, y, z and a symbol"):
            line = record.lines[number]
            pos.append(_parse_position(line))
            symbol = line[31:34].strip()
            z.append(_ISOTOPES.get(symbol) or atomic_number(symbol))
            charges.append(_CHARGES[to_int(line[36:39].strip() or "0")])
    return z, pos, charges


def _parse_position(line: str) -> list[float]:
    position = [to_float(line[:10]), to_float(line[10:20]), to_float(line[20:30])]
    if not bool(torch.tensor(position, dtype=torch.float32).isfinite().all()):
        raise ValueError("positions must be finite")
    return position


def _parse_bonds(
    record: SDFRecord, first: int, num_bonds: int, num_atoms: int
) -> tuple[list[tuple[int, int]], list[float]]:
    pairs: dict[tuple[int, int], float] = {}
    for number in range(first, first + num_bonds):
        with _at(record, number, f"a bond: two of atoms 1 to {num_atoms}, once a pair, and a type 1 to 4"):
            line = record.lines[number]
            i, j = sorted((to_int(line[:3]) - 1, to_int(line[3:6]) - 1))
            if not 0 <= i < j < num_atoms or (i, j) in pairs:
                raise ValueError("no such pair, or again")
            pairs[i, j] = _ORDERS[to_int(line[6:9])]
    return list(pairs), list(pairs.values())


def _parse_charges(record: SDFRecord, first: int, charges: Sequence[int]) -> list[int]:
    """Parse charges of `M  CHG` lines, which supersede those of the atom block."""
    stated = [number for number in range(first, len(record.lines)) if record.lines[number].startswith("M  CHG")]
    if not stated:
        return list(charges)
    replaced = [0] * len(charges)
    for number in stated:
        with _at(record, number, "charges: M  CHG, how many, and pairs of atom and charge"):
            count, *values = map(to_int, record.lines[number].split()[2:])
            if len(values) != 2 * count or not 1 <= count <= _MAX_CHARGES_PER_LINE:
                raise ValueError("the number of pairs does not fit")
            for atom, charge in zip(values[::2], values[1::2], strict=True):
                if not 1 <= atom <= len(replaced):
                    raise ValueError(f"there is no atom {atom}")
                replaced[atom - 1] = charge
    return replaced
