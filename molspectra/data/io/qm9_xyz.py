"""XYZ files of QM9: properties in the comment, charges beside the positions, and three more lines after the atoms."""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch_geometric.data import Data

from molspectra.data.io.text import to_float
from molspectra.data.io.xyz_lines import parse_xyz
from molspectra.data.units import HARTREE, KCAL_PER_MOL

# In the order of PyG's y (1, 19): field → its name in the files, its unit here, and the factor from the file's unit.
TARGETS: Mapping[str, tuple[str, str, float]] = {
    "mu": ("mu", "Debye", 1.0),
    "alpha": ("alpha", "a0^3", 1.0),
    **{name: (name, "eV", HARTREE) for name in ("homo", "lumo", "gap")},
    "r2": ("r2", "a0^2", 1.0),
    **{name: (name, "eV", HARTREE) for name in ("zpve", "u0", "u298", "h298", "g298")},
    "cv": ("cv", "cal/mol/K", 1.0),
    **{name: (name, "eV", KCAL_PER_MOL) for name in ("u0_atom", "u298_atom", "h298_atom", "g298_atom")},
    **{f"rotational_{name.lower()}": (name, "GHz", 1.0) for name in "ABC"},
}
"""Field → its name in the files of QM9, its unit, and the factor from the file's unit."""

_TOTALS = ("u0", "u298", "h298", "g298")  # float64: float32 resolves no more than 1 meV of a total energy
PROPERTIES = ("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv")
"""Properties in the comment of an XYZ file of QM9, in their order."""

TAIL = 3
"""Lines after the atoms: frequencies, SMILES and InChI, each of the original and the relaxed geometry."""

_TITLE = re.compile(r"\s*gdb\s+\d+\s")


def is_qm9(comment: str) -> bool:
    """Return True for the comment of a file of QM9."""
    return _TITLE.match(comment) is not None and len(comment.split()) == 2 + len(PROPERTIES)


def parse_qm9_xyz(lines: Sequence[str]) -> Data:
    """Convert an XYZ file of QM9 to a molecule.

    Args:
        lines: Lines of the file, with all of those after the atoms.

    Returns:
        `z`, `pos` (float32, Å), `mulliken_charge` (N,), e, `smiles` of the relaxed geometry, `name`, and the 15
        properties with the names and units of :class:`molspectra.data.QM9`.

    Raises:
        ValueError: a line is damaged or missing.
    """
    data = parse_xyz(lines)
    num_atoms = len(data.z)
    if not is_qm9(lines[1]) or len(lines) < num_atoms + 4:
        raise ValueError(
            f"Line 2 must be gdb, a number and {len(PROPERTIES)} properties, and {num_atoms + 4} or more lines must "
            f"follow; got {lines[1].strip()!r} and {len(lines)} lines."
        )
    _, index, *values = lines[1].split()
    try:
        charges = [to_float(line.split()[4]) for line in lines[2 : num_atoms + 2]]
        data.smiles = lines[num_atoms + 3].split()[-1]  # of the relaxed geometry; the first SMILES is the original one
    except IndexError as error:
        raise ValueError(f"gdb_{index} lacks a column: of charges, or of SMILES in line {num_atoms + 4}.") from error
    data.mulliken_charge = torch.tensor(charges, dtype=torch.float32)
    return set_targets(data, f"gdb_{index}", dict(zip(PROPERTIES, values, strict=True)))


def set_targets(data: Data, name: str, columns: Mapping[str, str]) -> Data:
    """Set the properties of a molecule of QM9, and its name.

    Raises:
        ValueError: a property is not a finite number.
    """
    for field, (column, _, factor) in TARGETS.items():
        if column in columns:
            value = to_float(columns[column]) * factor
            if not math.isfinite(value):
                raise ValueError(f"{column} of {name} must be finite; got {columns[column]!r}.")
            data[field] = torch.tensor([value], dtype=torch.float64 if field in _TOTALS else torch.float32)
    data.name = name
    return data
