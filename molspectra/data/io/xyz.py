"""XYZ files, plain and extended: a count, a comment, and one line per atom for each frame."""

import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch_geometric.data import Data

from molspectra.data.chemistry.ase import from_ase
from molspectra.data.chemistry.elements import atomic_number

# Keys of an extended comment that decide what the columns mean, or give labels.
_EXTENDED = re.compile(r"\b(Properties|Lattice|pbc|energy)\s*=")


class XYZFrame(NamedTuple):
    """Lines of one frame."""

    number: int
    """1, 2, …"""
    lines: list[str]

    def parse(self) -> Data:
        """Convert the frame to a molecule, by ASE if its comment is an extended one.

        Returns:
            `z` and `pos` (float32, Å), and `energy` (eV) and `forces` (eV/Å) of an extended frame, if it has them.

        Raises:
            ImportError: the comment is an extended one, and ASE is not installed.
            ValueError: the frame is damaged or periodic.
        """
        return _parse_extended(self.lines) if _EXTENDED.search(self.lines[1]) else parse_xyz(self.lines)


def read_frames(lines: Iterable[str]) -> Iterator[XYZFrame]:
    """Split an XYZ file into frames, holding one at a time. Empty lines between frames are skipped.

    Yields:
        Frames in the order of the file.

    Raises:
        ValueError: a frame does not begin with its number of atoms, or the file ends within it.
    """
    lines, line_number, frame = iter(lines), 0, 0
    for line in lines:
        line_number += 1
        if not line.strip():
            continue
        frame += 1
        if not line.strip().isdecimal():
            raise ValueError(
                f"Line {line_number} must hold the number of atoms; got {line.strip()!r}. Nothing after it was read."
            )
        body = list(islice(lines, int(line) + 1))
        line_number += len(body)
        if len(body) < int(line) + 1:
            raise ValueError(f"The file ends within the frame, which should have {int(line)} atoms.")
        yield XYZFrame(frame, [line, *body])


def parse_xyz(lines: Sequence[str]) -> Data:
    """Convert the first frame of a plain XYZ file to a molecule.

    Args:
        lines: Lines of the file. The lines after the atoms are not read.

    Returns:
        `z` and `pos` (float32, Å).

    Raises:
        ValueError: a line is damaged or missing. The message names it.

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
            z.append(atomic_number(symbol.capitalize()))
            pos.append((x, y, z_coordinate))
        except ValueError as error:
            raise ValueError(f"Line {number} must be a symbol, x, y and z; got {line.strip()!r} ({error}).") from error
    return Data(z=torch.tensor(z, dtype=torch.int64), pos=torch.tensor(pos, dtype=torch.float32))


def to_float(text: str) -> float:
    """Convert a number of an XYZ file, whose exponent Mathematica may have written: 1.5*^-6.

    Raises:
        ValueError: it is not a number.
    """
    return float(text.replace("*^", "e"))


def _parse_extended(lines: Sequence[str]) -> Data:
    try:
        import ase.io
    except ImportError as error:
        raise ImportError(
            "Reading an extended .xyz file needs ASE; install it with `pip install molspectra[ase]`."
        ) from error
    try:
        atoms = ase.io.read(io.StringIO("".join(lines)), format="extxyz")
    except (KeyError, IndexError, OSError) as error:  # a line of the frame that ASE cannot read
        raise ValueError(f"ASE cannot read the frame: {error}") from error
    return from_ase(atoms)
