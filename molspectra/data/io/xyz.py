"""XYZ files, plain and extended: a count, a comment, and one line per atom for each frame."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from torch_geometric.data import Data

from molspectra.data.chemistry.ase import from_ase
from molspectra.data.io.qm9_xyz import TAIL, is_qm9, parse_qm9_xyz
from molspectra.data.io.xyz_lines import parse_count, parse_xyz

# Keys of an extended comment that decide what the columns mean, or give labels.
_EXTENDED = re.compile(r"\b(Properties|Lattice|pbc|energy)\s*=")

# A comment that names another unit of length. "au" alone may be gold.
_OTHER_UNIT = re.compile(
    r"\b(bohrs?|nanomet(er|re)s?|picomet(er|re)s?|atomic[ _]units?)\b|\bunits?\s*[:=]?\s*\"?(a\.?u\.?|nm|pm)(?![a-z])",
    re.IGNORECASE,
)


class XYZFrame(NamedTuple):
    """Lines of one frame."""

    number: int
    """1, 2, …"""
    lines: list[str]
    has_tail: bool = False
    """True if the last lines are those that QM9 has after the atoms."""

    def parse(self) -> Data:
        """Convert the frame to a molecule, by ASE if its comment is an extended one.

        Returns:
            `z` and `pos` (float32, Å), and `energy` (eV) and `forces` (eV/Å) of an extended frame, if it has them. A
            file of QM9 has the fields of :func:`molspectra.data.io.qm9_xyz.parse_qm9_xyz`.

        Raises:
            ImportError: the comment is an extended one, and ASE is not installed.
            ValueError: the frame is damaged or periodic, or its comment names a unit of positions other than Å.
        """
        if unit := _OTHER_UNIT.search(self.lines[1]):
            raise ValueError(
                f"Positions of XYZ files are in Å; the comment of this frame says {unit[0].strip()!r}. Convert the "
                "positions and the comment."
            )
        if is_qm9(self.lines[1]) and self.has_tail:
            return parse_qm9_xyz(self.lines)
        return _parse_extended(self.lines) if _EXTENDED.search(self.lines[1]) else parse_xyz(self.lines)


def read_frames(lines: Iterable[str]) -> Iterator[XYZFrame]:
    """Split an XYZ file into frames, holding one at a time. Empty lines between frames are skipped.

    Frames of QM9 have three more lines, which belong to them.

    Yields:
        Frames in the order of the file.

    Raises:
        ValueError: a frame does not begin with its number of atoms, or the file ends within it.
    """
    rest, line_number, frame = iter(lines), 0, 0
    while (line := next(rest, None)) is not None:
        line_number += 1
        if not line.strip():
            continue
        frame += 1
        count = parse_count(line)
        if count is None:
            raise ValueError(
                f"Line {line_number} must hold the number of atoms; got {line.strip()!r}. Nothing after it was read."
            )
        body = list(islice(rest, count + 1))
        if len(body) < count + 1:
            raise ValueError(f"The file ends within the frame, which should have {count} atoms.")
        tail = list(islice(rest, TAIL)) if is_qm9(body[0]) else []
        if tail and (not tail[0].strip() or parse_count(tail[0]) is not None):  # they have been cut off
            rest, tail = chain(tail, rest), []
        line_number += len(body) + len(tail)
        yield XYZFrame(frame, [line, *body, *tail], has_tail=bool(tail))


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
