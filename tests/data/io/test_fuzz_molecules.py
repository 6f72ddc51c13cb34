"""Thousands of generated and damaged XYZ, SD and table files: the values of the file, or a problem with a text."""

import contextlib
import decimal
import math
import random
import re
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
from ase.data import chemical_symbols
from hypothesis import HealthCheck, given, settings

from molspectra.data import read_molecules
from molspectra.data.io.tables import read_table_file

pytestmark = pytest.mark.slow

NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9, "Cl": 17, "Br": 35}
ELEMENTS = {"D": 1, "T": 1} | {symbol: number for number, symbol in enumerate(chemical_symbols) if number}
JUNK = ["", "x", "junk 1 2", "3", "0", "-1", "1e5", "\t", "$$$$", "M  END", "C 0 0", "nan nan nan nan", "é ü", "1_0 2"]
CHARACTERS = "x_,;:-+.9 0eE\té\0*^#\"'"
FUZZ = settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
# One integer decides a file: to draw every character by hypothesis takes longer than to read the files.
SEEDS = st.integers(0, 2**32)


def damaged(rng: random.Random, text: str) -> str:
    """A text with one to three things wrong."""
    for kind in rng.choices(["delete", "repeat", "cut", "replace", "replace", "insert", "swap"], k=rng.randint(1, 3)):
        lines = text.split("\n")
        place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        at = rng.randrange(len(text) + 1)
        if kind == "cut":
            text = text[:at]
        elif kind == "replace":
            text = text[:at] + rng.choice(CHARACTERS) + text[at + 1 :]
        elif kind == "delete":
            text = "\n".join(lines[:place] + lines[place + 1 :])
        elif kind == "swap":
            lines[place], lines[other] = lines[other], lines[place]
            text = "\n".join(lines)
        else:
            text = "\n".join([*lines[:place], lines[place] if kind == "repeat" else rng.choice(JUNK), *lines[place:]])
    return text


def molecule(rng: random.Random) -> tuple[list[str], list[list[float]]]:
    symbols, pos = rng.choices(list(NUMBERS), k=rng.randint(1, 5)), []
    while len(pos) < len(symbols):
        place = [round(rng.gauss(0, 2), 4) for _ in range(3)]
        if all(math.dist(place, other) > 0.31 for other in pos):  # nearer ones are refused
            pos.append(place)
    return symbols, pos


def read_all(path, text: str):
    """Read a file; only what `read_molecules` documents may be raised: of a damaged file, that it is empty."""
    path.write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reads = list(read_molecules(path))
        except ValueError as error:
            if "must hold at least one molecule; it holds none" not in str(error):
                raise
            return []
    for read in reads:
        assert (read.molecule is None) == (read.problem is not None)
        assert read.problem is None or (len(read.problem) > 10 and "Traceback" not in read.problem)
    return reads


# XYZ -------------------------------------------------------------------------------------------------------------


def number(text: str) -> float | None:
    """An independent reading of a number of an XYZ file."""
    match = re.fullmatch(r"([+-]?[0-9]*\.?[0-9]*)(?:(?:e|E|d|D|\*\^)([+-]?[0-9]+))?", text)
    if match is None or not re.search("[0-9]", match[1]):
        return None
    value = decimal.Decimal(match[1]) * decimal.Decimal(10) ** max(-999, min(999, int(match[2] or 0)))
    return float(value) if abs(value) < 3e38 else None


def frame_at(lines: list[str], start: int) -> tuple[list[int], list[list[float]]] | None:
    """An independent reading of the frame whose count stands in a line."""
    count = lines[start].strip()
    if not re.fullmatch("[0-9]{1,9}", count) or not 0 < int(count) <= len(lines) - start - 2:
        return None
    z, pos = [], []
    for line in lines[start + 2 : start + 2 + int(count)]:
        cells = line.split()
        symbol = ELEMENTS.get(cells[0].capitalize()) if cells else None
        symbol = int(cells[0]) if symbol is None and cells and re.fullmatch("[1-9][0-9]?|0[1-9]", cells[0]) else symbol
        xyz = [number(cell) for cell in cells[1:4]]
        if symbol is None or len(xyz) < 3 or None in xyz:
            return None
        z.append(symbol)
        pos.append(xyz)
    return z, pos


def check_frames(text: str, reads) -> None:
    """Each molecule is a frame that stands in the file, and without problems no line is left over."""
    lines, start, used = text.split("\n"), 0, 0
    for read in (read for read in reads if read.problem is None):
        found = next(
            (
                at
                for at in range(start, len(lines))
                if (frame := frame_at(lines, at)) is not None
                and frame[0] == read.molecule.z.tolist()
                and np.allclose(frame[1], read.molecule.pos.numpy(), rtol=1e-6, atol=1e-7)
            ),
            None,
        )
        assert found is not None, (text, read)
        start = found + 2 + len(read.molecule.z)
        used += sum(bool(line.strip()) for line in lines[found:start])
    if all(read.problem is None for read in reads):
        assert used == sum(bool(line.strip()) for line in lines)


def xyz_text(rng: random.Random) -> str:
    """One to three frames in the styles of several programs."""
    text = ""
    for _ in range(rng.randint(1, 3)):
        symbols, pos = molecule(rng)
        style, exponent = rng.choice(
            [("{:.4f}", "e"), ("{:.6e}", "e"), ("{:+.5f}", "e"), ("{:.4e}", "*^"), ("{:.4e}", "D")]
        )
        space, extra = rng.choice([" ", "\t", "   "]), rng.choice(["", " 0.1", "\t-0.5 1 2"])
        rows = []
        for symbol, xyz in zip(symbols, pos, strict=True):
            name = rng.choice([symbol, symbol.lower(), str(NUMBERS[symbol])])
            rows.append(space.join([name, *(style.format(x).replace("e", exponent) for x in xyz)]) + extra)
        comment = rng.choice(["", "water", "E = -76.4 Hartree", "charge 1", "3"])
        text += "\n".join([str(len(symbols)), comment, *rows]) + rng.choice(["\n", "\n\n", "\n \n"])
    return text


@FUZZ
@given(seed=SEEDS)
def test_xyz_files(tmp_path, seed):
    rng = random.Random(seed)
    text = xyz_text(rng)
    reads = read_all(tmp_path / "some.xyz", text)
    assert all(read.problem is None for read in reads)
    check_frames(text, reads)
    text = damaged(rng, text)
    check_frames(text, read_all(tmp_path / "some.xyz", text))


@settings(FUZZ, max_examples=100)
@given(seed=SEEDS)
def test_extended_xyz_files(tmp_path, seed):
    rng = random.Random(seed)
    symbols, pos = molecule(rng)
    rows = [f"{symbol} {x} {y} {z} 0.5 0.25 0.125" for symbol, (x, y, z) in zip(symbols, pos, strict=True)]
    comment = 'Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="F F F"'
    text = "\n".join([str(len(symbols)), comment, *rows, ""])
    (read,) = read_all(tmp_path / "some.extxyz", text)
    np.testing.assert_allclose(read.molecule.pos, pos, rtol=1e-6)
    assert read.molecule.energy.item() == -1.5
    for read in read_all(tmp_path / "some.extxyz", damaged(rng, text)):
        if read.problem is None:
            assert len(read.molecule.z) == len(read.molecule.pos)
            assert read.molecule.pos.isfinite().all()


# SD --------------------------------------------------------------------------------------------------------------


SD_MOLECULES = {
    "HCl": (["H", "Cl"], [(1, 2)]),
    "water": (["O", "H", "H"], [(1, 2), (1, 3)]),
    "methane": (["C", "H", "H", "H", "H"], [(1, 2), (1, 3), (1, 4), (1, 5)]),
}


CORNERS = [(0, 0, 0), (1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]  # of a tetrahedron, about its center


def sd_text(rng: random.Random) -> str:
    """One to three records of small molecules, turned, moved and strained."""
    text = ""
    for name in rng.choices(list(SD_MOLECULES), k=rng.randint(1, 3)):
        symbols, bonds = SD_MOLECULES[name]
        order, shift = rng.sample(range(3), 3), [rng.gauss(0, 2) for _ in range(3)]
        lines = [
            name,
            "     RDKit          3D",
            "",
            f"{len(symbols):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000",
        ]
        for symbol, place in zip(symbols, CORNERS, strict=False):
            x, y, z = (
                0.63 * place[axis] + offset + rng.gauss(0, 0.02) for axis, offset in zip(order, shift, strict=True)
            )
            lines.append(f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:<3} 0  0  0  0  0  0  0  0  0  0  0  0")
        lines += [f"{i:3d}{j:3d}  1  0" for i, j in bonds]
        properties = rng.choice([[], ["> <logP>", "1.5", ""], ["> <a>", "b", "> <y>", "2", "", "> <y>", "2", ""]])
        text += "\n".join([*lines, "M  END", *properties, "$$$$", ""])
    return text


def record_values(lines: list[str]) -> tuple[list[int], list[list[float]], list[tuple[int, int]]] | None:
    """An independent reading of a V2000 record, by its columns."""
    try:
        atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])
        rows = lines[4 : 4 + atoms]
        z = [ELEMENTS[row[31:34].strip()] for row in rows]
        pos = [[float(row[a : a + 10]) for a in (0, 10, 20)] for row in rows]
        pairs = [tuple(sorted((int(row[:3]), int(row[3:6])))) for row in lines[4 + atoms : 4 + atoms + bonds]]
    except (ValueError, KeyError, IndexError):
        return None
    return (z, pos, sorted(pairs)) if len(z) == atoms and len(pairs) == bonds else None


def check_records(text: str, reads) -> None:
    records = [record.split("\n") for record in re.split(r"^\$\$\$\$.*\n?", text, flags=re.MULTILINE)]
    if not any(line.strip() for line in records[-1]):
        del records[-1]
    assert len(reads) == len(records), text
    for lines, read in zip(records, reads, strict=True):
        if read.problem is not None:
            continue
        values = record_values(lines)
        assert values is not None, (text, read)
        z, pos, pairs = values
        assert read.molecule.z.tolist() == z
        np.testing.assert_allclose(read.molecule.pos, pos, rtol=1e-6)
        assert sorted((i + 1, j + 1) for i, j in read.molecule.bond_index.t().tolist()) == pairs
        assert sum(line.startswith("M  END") for line in lines) <= 1


@FUZZ
@given(seed=SEEDS)
def test_sd_files(tmp_path, seed):
    rng = random.Random(seed)
    text = sd_text(rng)
    reads = read_all(tmp_path / "some.sdf", text)
    assert all(read.problem is None for read in reads)
    check_records(text, reads)
    text = damaged(rng, text)
    check_records(text, read_all(tmp_path / "some.sdf", text))


# Tables ----------------------------------------------------------------------------------------------------------


@FUZZ
@given(seed=SEEDS)
def test_tables(tmp_path, seed):
    rng = random.Random(seed)
    rows = rng.choices(["CCO,-0.31", "C,1.09", ",2", "O,", "N,x"], k=rng.randint(1, 5))
    text = damaged(rng, "\n".join(["smiles,logp", *rows, ""]))
    path = tmp_path / "some.csv"
    path.write_text(text, encoding="utf-8")
    header = text.split("\n")[0]
    if [cell.strip() for cell in header.split(",")].count("smiles") != 1 or header.count("logp") != 1:
        with contextlib.suppress(ValueError):  # which says that a column is missing or is there twice
            list(read_table_file(path, "smiles", ["logp"]))
        return
    try:
        found = list(read_table_file(path, "smiles", ["logp"]))
    except ValueError as error:
        found = []
        message = str(error)
        if "column" not in message:
            raise
    for row in found:
        if row.problem is None and row.smiles is not None:
            assert f"{row.smiles}" in text.replace("\0", "\ufffd")
            assert set(row.labels) == {"logp"}
