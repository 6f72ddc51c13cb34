"""Lines of plain XYZ files: a count, a comment, and one line per atom."""

from collections.abc import Sequence

import torch
from torch_geometric.data import Data

from molspectra.data.chemistry.elements import SYMBOLS, atomic_number
from molspectra.data.io.text import to_float

LARGEST_COUNT = 10**8
"""Number of atoms above which a count is taken for damage."""

_ISOTOPES = {"D": 1, "T": 1}


def parse_count(line: str) -> int | None:
    """Return the number of atoms that a line states, or None if it states none."""
    text = line.strip()
    count = int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else -1
    return count if 0 <= count <= LARGEST_COUNT else None


def parse_xyz(lines: Sequence[str]) -> Data:
    """Convert the first frame of a plain XYZ file to a molecule.

    Args:
        lines: Lines of the file. Atoms are symbols (also D and T for hydrogen) or atomic numbers. The lines after the
            atoms are not read.

    Returns:
        `z` and `pos` (float32, Å).

    Raises:
        ValueError: a line is damaged or missing. The message names it.

    Example:
        >>> parse_xyz(["2", "", "C 0.0 0.0 0.0", "O 0.0 0.0 1.13"]).z
        tensor([6, 8])
    """
    num_atoms = parse_count(lines[0]) if lines else None
    if not num_atoms:
        got = lines[0].strip() if lines else ""
        raise ValueError(f"Line 1 must be the number of atoms; got {got!r}.")
    if len(lines) < num_atoms + 2:
        raise ValueError(f"The file has {len(lines)} lines; expected at least {num_atoms + 2}, for {num_atoms} atoms.")
    z, pos = [], []
    for number, line in enumerate(lines[2 : num_atoms + 2], 3):
        try:
            symbol, *xyz = line.split()[:4]
            x, y, z_coordinate = map(to_float, xyz)
            z.append(_element(symbol))
            pos.append((x, y, z_coordinate))
            if not bool(torch.tensor(pos[-1], dtype=torch.float32).isfinite().all()):
                raise ValueError("positions must be finite")
        except ValueError as error:
            raise ValueError(f"Line {number} must be a symbol, x, y and z; got {line.strip()!r} ({error}).") from error
    return Data(z=torch.tensor(z, dtype=torch.int64), pos=torch.tensor(pos, dtype=torch.float32))


def _element(symbol: str) -> int:
    if symbol.isascii() and symbol.isdecimal() and 1 <= int(symbol[:4]) <= len(SYMBOLS):
        return int(symbol)
    return _ISOTOPES.get(symbol.upper()) or atomic_number(symbol.capitalize())
