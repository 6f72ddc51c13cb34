"""Tiny files in the published layouts of QM9, QM9S and PCQM4Mv2, and the numbers that are in them."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np

GRIDS = {
    "uv": [f"{1 + 0.02 * i:.2f}" for i in range(701)],
    "ir": [str(i) for i in range(500, 4001)],
    "raman": [str(i) for i in range(500, 4001)],
}
METHANE = ["C", "H", "H", "H", "H"]
WATER = ["O", "H", "H"]
NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}


def block(title, symbols, pos, bonds, properties=()):
    """A V2000 record; bonds count atoms from 1."""
    lines = [title, "  -OEChem-03231823243D", "", f"{len(symbols):3d}{len(bonds):3d}  0     0  0  0  0  0  0999 V2000"]
    lines += [
        f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:<3} 0  0  0  0  0  0  0  0  0  0  0  0"
        for symbol, (x, y, z) in zip(symbols, pos, strict=True)
    ]
    lines += [f"{i:3d}{j:3d}{order:3d}  0  0  0  0" for i, j, order in bonds]
    return "\n".join([*lines, *properties, "M  END", "$$$$", ""])


def molecule(index):
    """Symbols, positions and SMILES of an invented molecule: water or methane, never the same twice."""
    symbols = WATER if index % 2 else METHANE
    pos = np.random.default_rng(index).normal(size=(len(symbols), 3)).round(4)
    return symbols, pos, "O" if index % 2 else "C"


# QM9S ------------------------------------------------------------------------------------------------------------


def qm9s_values(index):
    """All numbers that the table of one molecule holds, by the names of `qm9s.pt`."""
    symbols, pos, smiles = molecule(index)
    n, draw = len(symbols), np.random.default_rng(100 + index).normal
    return {
        "z": [NUMBERS[symbol] for symbol in symbols],
        "pos": pos,
        "smile": smiles,
        "number": 10 * index + 3,
        "energy": draw(),
        "npacharge": draw(size=n),
        "dipole": draw(size=3),
        "quadrupole": draw(size=6),
        "octapole": draw(size=10),
        "polar": draw(size=6),
        "hyperpolar": draw(size=10),
        "tran_energy": draw(size=10),
        "tran_dipole": draw(size=(10, 3)),
        "dedipole": draw(size=(n, 3, 3)),
        "depolar": draw(size=(n, 3, 6)),
        "hessian": draw(size=(3 * n, 3 * n)),
    }


def qm9s_table(index):
    """`NNNNNN.csv` as pandas writes it: a header, row numbers, and empty cells up to the longest row."""
    values = qm9s_values(index)
    n = len(values["z"])
    rows = [[index + 1, values["number"], values["smile"], n], [values["energy"]]]
    rows += [list(values[name]) for name in ("npacharge", "dipole", "quadrupole", "octapole", "polar", "hyperpolar")]
    rows += [list(values["tran_energy"]), list(values["tran_dipole"].reshape(-1))]
    rows += [[float(z), *xyz] for z, xyz in zip(values["z"], values["pos"], strict=True)]
    rows += [list(row) for name in ("dedipole", "depolar") for row in values[name].reshape(n, -1)]
    rows += [list(row) for row in values["hessian"]]
    width = max(map(len, rows))
    lines = [",".join(["", *map(str, range(width))])]
    for number, row in enumerate(rows):
        lines.append(",".join([str(number), *(str(x) for x in row), *[""] * (width - len(row))]))
    return "\n".join(lines) + "\n"


def spectra(name, num):
    """Invented intensities, (num, L)."""
    return np.random.default_rng(len(name)).uniform(0, 100, size=(num, len(GRIDS[name]))).round(5)


def write_spectra(raw, num, ending="_boraden.csv"):
    """The three tables of spectra."""
    for name, grid in GRIDS.items():
        rows = [",".join(["", *grid])]
        rows += [",".join([str(i), *map(str, row)]) for i, row in enumerate(spectra(name, num))]
        (raw / f"{name}{ending}").write_text("\n".join(rows) + "\n")


def write_qm9s(raw, num=3):
    """The published files of QM9S."""
    raw.mkdir(parents=True)
    with zipfile.ZipFile(raw / "qm9s_csv.zip", "w") as archive:
        for index in range(num):
            archive.writestr(f"qm9s_csv/{index + 1:06d}.csv", qm9s_table(index))
    write_spectra(raw, num)


# QM9 -------------------------------------------------------------------------------------------------------------

UNCHARACTERIZED = """
Molecules that failed the consistency check of their geometries
Their SMILES before and after relaxation, and from the geometry

2 molecules of 133885

Columns are as follows:
----------------------------
Index  GDB17  B3LYP  Corina
"""


def write_uncharacterized(path, numbers):
    """`uncharacterized.txt`: nine lines, rows, two lines."""
    assert len(UNCHARACTERIZED.splitlines()) == 9
    rows = "".join(f"{number:7d}  {0.1:8.2f} C#N  N#C \n" for number in numbers)
    Path(path).write_text(UNCHARACTERIZED + rows + "----------------------------\n")


def qm9_xyz(number):
    """`dsgdb9nsd_NNNNNN.xyz`; the properties are 1, 2, … but for A, 1.5e-6."""
    symbols, pos, smiles = molecule(number)
    properties = "\t".join(["1.5*^-6", *map(str, range(2, 16))])
    atoms = [
        f"{symbol}\t{x}\t{y}\t{z}\t {-0.25 + i}" for i, (symbol, (x, y, z)) in enumerate(zip(symbols, pos, strict=True))
    ]
    tail = ["1341.307\t1341.3284\t", f"{smiles}X\t{smiles}\t", "InChI=1S/A\tInChI=1S/A"]
    return "\n".join([str(len(symbols)), f"gdb {number}\t{properties}\t", *atoms, *tail]) + "\n"


def write_tar(path, files, mode):
    """A tar archive of files by name."""
    with tarfile.open(path, mode) as archive:
        for name, text in files.items():
            content = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


# PCQM4Mv2 --------------------------------------------------------------------------------------------------------


def write_pcqm4mv2(raw, num=3, extra=2):
    """`data.csv.gz` with `extra` rows that have no structure, the SD archive, and the archive of XYZ files."""
    raw.mkdir(parents=True)
    rows = [f"{i},{molecule(i)[2]},{i + 0.5}" for i in range(num)] + [f"{num + i},C," for i in range(extra)]
    (raw / "data.csv.gz").write_bytes(gzip.compress("\n".join(["idx,smiles,homolumogap", *rows, ""]).encode()))
    records = []
    for index in range(num):
        symbols, pos, _ = molecule(index)
        bonds = [(i, 1, 1) for i in range(2, len(symbols) + 1)]
        records.append(block("", symbols, pos, bonds))
    write_tar(raw / "pcqm4m-v2-train.sdf.tar.gz", {"pcqm4m-v2-train.sdf": "".join(records)}, "w:gz")
    with zipfile.ZipFile(raw / "pcqm4m-v2_xyz.zip", "w") as archive:
        for index in reversed(range(num)):
            symbols, pos, _ = molecule(index)
            atoms = [f"{symbol} {x} {y} {z}" for symbol, (x, y, z) in zip(symbols, pos, strict=True)]
            archive.writestr(f"pcqm4m-v2_xyz/0/{index}.xyz", "\n".join([str(len(symbols)), "", *atoms]) + "\n")
