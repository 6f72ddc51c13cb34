"""XYZ files, plain and extended: a count, a comment, and one line per atom for each frame."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from torch_geometric.data import Data

from molspectra.data.chemistry.ase import from_ase
from molspectra.data.chemistry.distances import check_apart, warn_of_missing_hydrogens, warn_of_unbound_atoms
from molspectra.data.io.qm9_xyz import TAIL, is_qm9, parse_qm9_xyz
from molspectra.data.io.xyz_lines import parse_count, parse_xyz

# Keys of an extended comment that decide what the columns mean, or give labels.
_EXTENDED = re.compile(r"\b(Properties|Lattice|pbc|energy)\s*=")

# A comment that names another unit of length. "au" alone may be gold.
_ATOM = re.compile(r"\s*([A-Za-z]{1,2}|\d{1,3})(\s+[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?){3}(\s|$)", re.ASCII)

_OTHER_ENERGY = re.compile(r"\b(hartrees?|ha|kcal|kj|rydbergs?|ry|mev|joules?)\b|\ba\.u\.", re.IGNORECASE)
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
            ValueError: the frame is damaged or periodic, two atoms are in one place, or its comment names a unit other
                than Å or eV.

        Warns:
            UserWarning: no atoms are as near as a bond, or hydrogens seem to be missing.
        """
        if unit := _OTHER_UNIT.search(self.lines[1]):
            raise ValueError(
                f"Positions of XYZ files are in Å; the comment of this frame says {unit[0].strip()!r}. Convert the "
                "positions and the comment."
            )
        if is_qm9(self.lines[1]) and self.has_tail:
            data = parse_qm9_xyz(self.lines)
        else:
            data = _parse_extended(self.lines) if _EXTENDED.search(self.lines[1]) else parse_xyz(self.lines)
        check_apart(data.z, data.pos)
        warn_of_unbound_atoms(data.z, data.pos)
        warn_of_missing_hydrogens(data.z, data.pos)
        return data


def read_frames(lines: Iterable[str]) -> Iterator[XYZFrame]:
    """Split an XYZ file into frames, holding one at a time. Empty lines between frames are skipped.

    Frames of QM9 have three more lines, which belong to them.

    Yields:
        Frames in the order of the file.

    Raises:
        ValueError: a frame does not begin with its number of atoms, has more, or the file ends within it.
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
        after = next(rest, None)
        rest = rest if after is None else chain([after], rest)
        if after is not None and parse_count(after) is None and _ATOM.match(after):
            raise ValueError(
                f"The frame must have as many atoms as it says, {count}; line {line_number + 1} is another one: "
                f"{after.strip()!r}. Nothing from this frame on was read."
            )
        yield XYZFrame(frame, [line, *body, *tail], has_tail=bool(tail))


def _parse_extended(lines: Sequence[str]) -> Data:
    try:
        import ase.io
    except ImportError as error:
        raise ImportError(
            "Reading an extended .xyz file needs ASE; install it with `pip install molspectra[ase]`."
        ) from error
    try:
        _check_comment(lines[1])
        atoms = ase.io.read(io.StringIO("".join(lines)), format="extxyz")
    except (KeyError, IndexError, OSError) as error:  # a line of the frame that ASE cannot read
        raise ValueError(f"ASE cannot read the frame: {error}") from error
    data = from_ase(atoms)
    if ("energy" in data or "forces" in data) and (unit := _OTHER_ENERGY.search(lines[1])):
        raise ValueError(
            f"Energies of extended XYZ files are in eV; the comment of this frame says {unit[0]!r}. Convert energy and "
            "forces, and the comment."
        )
    if bool(data.get("energy", data.pos).isinf().any() | data.get("forces", data.pos).isinf().any()):
        raise ValueError("Energy and forces must be finite, or NaN where they are missing; one is infinite.")
    return data


def _check_comment(comment: str) -> None:
    """Refuse keys that are there twice, and columns without positions, which ASE reads as zeros."""
    keys = re.findall(r"(?<!\S)(\w+)\s*=", re.sub(r'"[^"]*"', "", comment))
    if twice := [key for key, count in Counter(keys).items() if count > 1]:
        raise ValueError(f"Keys of a comment must be there once; {twice} are there again: {comment.strip()!r}.")
    if match := re.search(r"Properties\s*=\s*\"?([^\s\"]+)", comment):
        names = match[1].split(":")[::3]
        if not {"pos", "positions"} & set(names):
            raise ValueError(f"Properties must name the columns of positions, pos:R:3; got {match[1]!r}.")
