"""Plain XYZ files: a count, a comment, and a line for each atom."""

import math
from collections.abc import Sequence

import torch
from torch_geometric.data import Data

from molspectra.data.chemistry.elements import atomic_number


def to_float(text: str) -> float:
    """A number of an XYZ file, whose exponent Mathematica may have written: 1.5*^-6.

    Raises:
        ValueError: it is none.
    """
    return float(text.replace("*^", "e"))


def parse_xyz(lines: Sequence[str]) -> Data:
    """The first frame of an XYZ file.

    Args:
        lines: Lines of the file; what follows the atoms is not read.

    Returns:
        `z` and `pos` (float32, Å).

    Raises:
        ValueError: a line is damaged or missing; the message names it.

    Example:
        >>> parse_xyz(["2", "", "C 0.0 0.0 0.0", "O 0.0 0.0 1.13"]).z
        tensor([6, 8])
    """
    count = lines[0].strip() if lines else ""
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"Line 1 must be the number of atoms; got {count!r}.")
    num_atoms = int(count)
    if len(lines) < num_atoms + 2:
        raise ValueError(f"The file has {len(lines)} lines; expected at least {num_atoms + 2}, for {num_atoms} atoms.")
    z, pos = [], []
    for number, line in enumerate(lines[2 : num_atoms + 2], 3):
        try:
            symbol, *xyz = line.split()[:4]
            x, y, z_coordinate = map(to_float, xyz)
            if not all(map(math.isfinite, (x, y, z_coordinate))):
                raise ValueError("positions must be finite")
            z.append(atomic_number(symbol))
            pos.append((x, y, z_coordinate))
        except ValueError as error:
            raise ValueError(f"Line {number} must be a symbol, x, y and z; got {line.strip()!r} ({error}).") from error
    return Data(z=torch.tensor(z, dtype=torch.int64), pos=torch.tensor(pos, dtype=torch.float32))
