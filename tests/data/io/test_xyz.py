"""XYZ files, plain and extended, against ASE."""

import re
import sys

import pytest
import torch

from molspectra.data import QM9, read_molecules
from molspectra.data.io.xyz import read_frames
from molspectra.data.io.xyz_lines import parse_xyz

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
    torch.testing.assert_close(helium.molecule.forces, torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float32))
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


QM9_FILE = """5
gdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t0.044749\t-40.47893\t-40.476062\t-40.475117\t-40.498597\t6.469
C\t-0.0126981359\t 1.0858041578\t 2.7*^-6\t-0.535689
H\t 0.002150416\t-0.0060313176\t 1.9761204*^-3\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 2.765748*^-4\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 9.06397294*^-1\t 0.133923
1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078
C\tC\t
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""  # noqa: E501


def test_a_file_of_qm9_is_one_molecule(tmp_path):
    path = tmp_path / "dsgdb9nsd_000001.xyz"
    path.write_text(QM9_FILE)
    (read,) = read_molecules(path)
    data = read.molecule
    assert read.problem is None
    assert data.z.tolist() == [6, 1, 1, 1, 1]
    assert data.pos[:2, 2].tolist() == pytest.approx([2.7e-6, 1.9761204e-3])
    assert data.pos[4].tolist() == pytest.approx([-0.5238136345, 1.4379326443, 0.906397294])
    assert data.mulliken_charge[0].item() == pytest.approx(-0.535689)
    assert (data.name, data.smiles) == ("gdb_1", "C")
    assert data.gap.item() == pytest.approx(0.5048 * 27.211386245988)
    assert data.u0.item() == pytest.approx(-40.47893 * 27.211386245988)
    assert data.rotational_a.item() == pytest.approx(157.7118)
    assert set(QM9.targets[:12]) <= set(data.keys())


def test_files_of_qm9_end_to_end(tmp_path):
    path = tmp_path / "many.xyz"
    path.write_text(QM9_FILE + "\n" + QM9_FILE.replace("gdb 1", "gdb 2") + PLAIN)
    assert [len(read.molecule.z) for read in read_molecules(path)] == [5, 5, 3]
    cut = "\n".join(QM9_FILE.splitlines()[:7]) + "\n"  # somebody has removed the lines after the atoms
    path.write_text(cut + cut + PLAIN + cut)
    assert [len(read.molecule.z) for read in read_molecules(path)] == [5, 5, 3, 5]
    path.write_text("\n".join(QM9_FILE.splitlines()[:8]) + "\n")
    assert "9 or more lines must follow" in next(read_molecules(path)).problem


@pytest.mark.parametrize(
    ("text", "number"),
    [("2.7*^-6", 2.7e-6), ("-1.5*^3", -1500), ("0.1D-01", 0.01), ("1d2", 100), (".5", 0.5), ("5.", 5), ("+1E+2", 100)],
)
def test_numbers_of_other_programs(text, number):
    assert parse_xyz(["1", "", f"H {text} 0 0"]).pos[0, 0].item() == pytest.approx(number)


@pytest.mark.parametrize("text", ["1_0", "0x10", "1,5", "٣", "1e", "*^3", "1e400", "nan", "-inf", "1.0.0", "--1"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="Line 3 must be a symbol, x, y and z"):
        parse_xyz(["1", "", f"H {text} 0 0"])


def test_numbers_and_isotopes_as_symbols():
    assert parse_xyz(["4", "", "8 0 0 0", "D 1 0 0", "T 0 1 0", "cl 0 0 1"]).z.tolist() == [8, 1, 1, 17]
    for symbol in ("0", "119", "1.0", "C1", "²", "99999999999999999999"):
        with pytest.raises(ValueError, match="is not the symbol of an element"):
            parse_xyz(["1", "", f"{symbol} 0 0 0"])


@pytest.mark.parametrize("count", ["99999999999999999999", "1e3", "-1", "3.0", "٣"])
def test_impossible_counts_are_refused(tmp_path, count):
    path = tmp_path / "some.xyz"
    path.write_text(PLAIN.replace("3", count, 1), encoding="utf-8")
    (read,) = read_molecules(path)
    assert "Line 1 must hold the number of atoms" in read.problem


@pytest.mark.parametrize(
    "comment", ["water, in Bohr", "units: au", "unit=a.u.", 'Properties=species:S:1:pos:R:3 units="nm"', "atomic units"]
)
def test_positions_in_another_unit_are_refused(tmp_path, comment):
    path = tmp_path / "some.xyz"
    path.write_text(f"1\n{comment}\nO 0 0 0\n")
    [read] = read_molecules(path)
    assert "Positions of XYZ files are in Å; the comment of this frame says" in read.problem


@pytest.mark.parametrize("comment", ["Au cluster", "gold, au", "units: angstrom", "energy -1.2 au", "nm = 3", ""])
def test_comments_that_name_no_other_unit_of_length(tmp_path, comment):
    path = tmp_path / "some.xyz"
    path.write_text(f"1\n{comment}\nO 0 0 0\n")
    [read] = read_molecules(path)
    assert read.problem is None


WATER = "3\n\nO 0 0 0.12\nH 0 0.757 -0.47\nH 0 -0.757 -0.47\n"
HEADER = "2\nProperties=species:S:1:pos:R:3 {}\nO 0 0 0\nH 0 0 0.97\n"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (WATER.replace("0.757 -0.47", "0 0.12", 1), "O0 and H1 are 0 Å apart"),
        (WATER.replace("0.757", "0.0757").replace("0.47", "0.047").replace("0.12", "0.012"), "at least 0.3 Å apart"),
        (WATER.replace("3", "2", 1), "as many atoms as it says, 2; line 5 is another one: 'H 0 -0.757 -0.47'"),
        (WATER.replace("H 0 -0.757 -0.47\n", ""), "The file ends within the frame"),
        (WATER.replace("-0.757", "-1e400"), "positions must be finite"),
        (HEADER.format("energy=-1 energy=-2"), r"Keys of a comment must be there once; \['energy'\] are there again"),
        (HEADER.format("energy=-1 units=Hartree"), "in eV; the comment of this frame says 'Hartree'"),
        (HEADER.format('energy=-1 energy_unit="kcal/mol"'), "in eV; the comment of this frame says 'kcal'"),
        (HEADER.format("energy=1e400"), "Energy and forces must be finite"),
        (HEADER.format("").replace("pos:R:3", "forces:R:3"), "Properties must name the columns of positions"),
        ("2\nfinal energy = -76.4 Hartree\nO 0 0 0\nH 0 0 0.97\n", "says 'Hartree'. Convert energy"),
    ],
)
def test_frames_that_cannot_be(tmp_path, text, match):
    (tmp_path / "some.xyz").write_text(text)
    (read,) = read_molecules(tmp_path / "some.xyz")
    assert re.search(match, read.problem or ""), read


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (WATER.replace("0.757", "1.431").replace("0.47", "0.888").replace("0.12", "0.227"), "Are the positions in Å"),
        ("3\n\nC 0 0 0\nC 1.5 0 0\nO 2.1 1.3 0\n", "Hydrogens seem to be missing: there are none, and C0"),
        ("2\n\nC 0 0 0\nO 1.43 0 0\n", "Hydrogens seem to be missing"),
    ],
)
def test_doubtful_frames(tmp_path, text, match):
    (tmp_path / "some.xyz").write_text(text)
    with pytest.warns(UserWarning, match=match):
        (read,) = read_molecules(tmp_path / "some.xyz")
    assert read.problem is None


def test_frames_without_hydrogens_and_atoms_alone(tmp_path):
    """CO2, CO, C2F6, carbonate and a sodium atom, without a warning."""
    frames = [
        "3\n\nC 0 0 0\nO 1.16 0 0\nO -1.16 0 0\n",
        "2\n\nC 0 0 0\nO 1.128 0 0\n",
        "4\n\nC 0 0 0\nO 1.29 0 0\nO -0.645 1.117 0\nO -0.645 -1.117 0\n",
        "1\n\nNa 0 0 0\n",
        "2\n\nN 0 0 0\nN 0 0 1.098\n",
        "2\n\nO 0 0 0\nO 0 0 1.208\n",
    ]
    (tmp_path / "some.xyz").write_text("".join(frames))
    assert [read.problem for read in read_molecules(tmp_path / "some.xyz")] == [None] * len(frames)


@pytest.mark.parametrize("name", ["some.xyz", "some.sdf", "some.smi", "some.csv"])
def test_files_without_molecules_are_refused(tmp_path, name):
    table = {"smiles": "smiles"} if name.endswith("csv") else {}
    (tmp_path / name).write_text("smiles\n" if table else "\n\n")
    with pytest.raises(ValueError, match=r"must hold at least one molecule; it holds none"):
        list(read_molecules(tmp_path / name, **table))
    (tmp_path / "folder.xyz").mkdir(exist_ok=True)
    with pytest.raises(ValueError, match="must be a file; it is a folder"):
        list(read_molecules(tmp_path / "folder.xyz"))


def test_utf_16(tmp_path):
    (tmp_path / "some.xyz").write_bytes(WATER.encode("utf-16"))
    assert next(read_molecules(tmp_path / "some.xyz")).molecule.z.tolist() == [8, 1, 1]
