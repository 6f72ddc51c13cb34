"""XYZ files, plain and extended, against ASE."""

import sys

import pytest
import torch

from molspectra.data import read_molecules
from molspectra.data.io.xyz import parse_xyz, read_frames

PLAIN = "3\nsome water\nO 0 0 0.1\nh 0.76 0.59 0.0\nH -0.76 0.59 1e-3 extra\n"
EXTENDED = """1
Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="F F F"
He 0.5 0.0 0.0 0.1 0.2 0.3
"""


@pytest.fixture
def ase_io():
    import ase.io

    return ase.io


def test_plain_frames_equal_ase(ase_io, tmp_path):
    path = tmp_path / "some.xyz"
    path.write_text(PLAIN + PLAIN.replace("0.76", "0.8"))
    molecules = [read.molecule for read in read_molecules(path)]
    expected = ase_io.read(path, index=":", format="extxyz")
    assert len(molecules) == len(expected) == 2
    for data, atoms in zip(molecules, expected, strict=True):
        assert data.z.tolist() == atoms.numbers.tolist()
        assert torch.equal(data.pos, torch.tensor(atoms.positions, dtype=torch.float32))


def test_extended_frames_have_energy_and_forces(ase_io, tmp_path):
    path = tmp_path / "some.extxyz"
    path.write_text(EXTENDED + PLAIN + EXTENDED.replace("F F F", "T T T"))
    helium, water, crystal = read_molecules(path)
    assert helium.molecule.energy.tolist() == [-1.5]
    torch.testing.assert_close(helium.molecule.forces, torch.tensor([[0.1, 0.2, 0.3]]))
    assert set(water.molecule.keys()) == {"z", "pos"}
    assert "atoms must not be periodic" in crystal.problem


def test_plain_frames_need_no_ase(tmp_path, monkeypatch):
    for name in ("ase", "ase.io"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "some.xyz"
    path.write_text(PLAIN)
    assert next(read_molecules(path)).molecule.z.tolist() == [8, 1, 1]
    path.write_text(EXTENDED)
    with pytest.raises(ImportError, match=r"extended .xyz file needs ASE.*molspectra\[ase\]"):
        list(read_molecules(path))


def test_frames_are_told_apart():
    frames = list(read_frames(("\n" + PLAIN + "\n\n" + EXTENDED).splitlines(keepends=True)))
    assert [(frame.number, len(frame.lines)) for frame in frames] == [(1, 5), (2, 3)]


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ([], "Line 1 must be the number of atoms; got ''"),
        (["0", ""], "Line 1 must be the number of atoms; got '0'"),
        (["2", "", "H 0 0 0"], "The file has 3 lines; expected at least 4, for 2 atoms"),
        (["1", "", "Qq 0 0 0"], "Line 3 must be a symbol, x, y and z; got 'Qq 0 0 0'"),
        (["1", "", "H 0 0"], "Line 3 must be a symbol"),
        (["1", "", ""], "Line 3 must be a symbol"),
        (["1", "", "H 0 0 nan"], "positions must be finite"),
    ],
)
def test_damaged_frames(lines, match):
    with pytest.raises(ValueError, match=match):
        parse_xyz(lines)
