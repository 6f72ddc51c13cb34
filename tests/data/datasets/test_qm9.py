import math
import zipfile

import pytest
import torch
import torch_geometric.datasets.qm9 as pyg
from torch_geometric.data import Batch

from molspectra.data import validate
from molspectra.data.chemistry.elements import heavy_atoms
from molspectra.data.datasets import qm9
from molspectra.data.datasets.qm9 import QM9, read_uncharacterized
from molspectra.data.io.sdf import SDFRecord, parse_record
from tests.data.datasets.layouts_qm9 import NUMBERS, block, molecule, qm9_xyz, write_tar, write_uncharacterized

POSITIONS = [(0.0, 0.0, 0.0), (1.0, 0.0, -1.25), (0.0, 1.5, 0.0)]


class SomeQM9(QM9):
    num_molecules = None


@pytest.fixture
def root(sample_files, tmp_path):
    """The first 21 molecules as published, 3 and 20 of them left out by the list."""
    raw = tmp_path / "qm9" / "raw"
    raw.mkdir(parents=True)
    for ending in ("sdf", "sdf.csv"):
        (raw / f"gdb9.{ending}").write_bytes((sample_files / "qm9" / f"qm9_mini.{ending}").read_bytes())
    write_uncharacterized(raw / "uncharacterized.txt", [3, 20])
    return tmp_path / "qm9"


def record(text):
    return SDFRecord(1, 1, text.split("$$$$")[0].splitlines())


def test_molecules_are_those_that_rdkit_reads(root):
    from rdkit import Chem as chem

    dataset = SomeQM9(root, keep_uncharacterized=True)
    supplier = chem.SDMolSupplier(str(root / "raw" / "gdb9.sdf"), removeHs=False, sanitize=False)
    assert len(dataset) == len(supplier) == 21
    for data, mol in zip(dataset, supplier, strict=True):
        assert data.name == mol.GetProp("_Name")
        assert data.z.tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        positions = torch.tensor(mol.GetConformer().GetPositions(), dtype=torch.float32)
        torch.testing.assert_close(data.pos, positions, rtol=0, atol=0)
        bonds = {
            tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))): bond.GetBondTypeAsDouble()
            for bond in mol.GetBonds()
        }
        found = zip(map(tuple, data.bond_index.t().tolist()), data.bond_order.tolist(), strict=True)
        assert dict(found) == bonds
        validate(data)
    assert Batch.from_data_list(list(dataset)).num_graphs == 21


def test_targets_are_those_of_pyg(root):
    """PyG: all columns after the name, rotational constants last, times its table of factors."""
    lines = (root / "raw" / "gdb9.sdf.csv").read_text().splitlines()[1:]
    rows = torch.tensor([[float(cell) for cell in line.split(",")[1:20]] for line in lines], dtype=torch.float64)
    expected = torch.cat([rows[:, 3:], rows[:, :3]], dim=1) * pyg.conversion.double()
    for data, y in zip(SomeQM9(root, keep_uncharacterized=True), expected, strict=True):
        found = torch.stack([data[name][0].double() for name in QM9.targets])
        torch.testing.assert_close(found, y, rtol=1e-6, atol=1e-12)  # its factors have seven digits
        assert data.u0.dtype == torch.float64


def test_totals_keep_their_digits(root):
    u0 = SomeQM9(root)[0].u0
    assert math.isclose(u0.item(), -40.47893 * 27.211386245988, rel_tol=1e-15)


def test_every_target_has_a_unit():
    assert set(QM9.targets) < set(QM9.units)
    assert len(QM9.targets) == 19


def test_uncharacterized_molecules_are_left_out(root):
    dataset = SomeQM9(root)
    assert [data.name for data in dataset] == [f"gdb_{n}" for n in range(1, 22) if n not in (3, 20)]
    assert read_uncharacterized(root / "raw" / "uncharacterized.txt") == {3, 20}
    assert len(SomeQM9(root, keep_uncharacterized=True)) == 21  # beside the other, not instead of it
    assert len(SomeQM9(root)) == 19


def test_the_true_file_of_another_thousand_molecules(sample_files):
    """Every 25th of its records."""
    records = (sample_files / "qm9" / "gdb1k.sdf").read_text().split("$$$$\n")[:-1]
    assert len(records) == 40
    for number, text in enumerate(records, 1):
        validate(parse_record(SDFRecord(number, 1, text.splitlines())))


def test_a_part_of_the_published_molecules_is_refused(root):
    with pytest.raises(ValueError, match="found 19 molecules; 130831 were published"):
        QM9(root)
    with pytest.raises(ValueError, match="found 21 molecules; 133885 were published"):
        QM9(root, keep_uncharacterized=True)


def test_a_bad_record_is_named(root, sample_files):
    """Record 20 of the published file of that name was made unreadable on purpose."""
    bad = sample_files / "qm9" / "qm9_mini_badrecord.sdf"
    (root / "raw" / "gdb9.sdf").write_bytes(bad.read_bytes())
    with pytest.raises(ValueError, match=r"gdb9\.sdf, record gdb_20: Line \d+: the title must be gdb_20"):
        SomeQM9(root, keep_uncharacterized=True)
    with pytest.warns(UserWarning, match="skipped 1 broken records"):
        dataset = SomeQM9(root, keep_uncharacterized=True, skip_broken=True)
    assert [data.name for data in dataset] == [f"gdb_{n}" for n in range(1, 22) if n != 20]
    assert dataset.skipped[0].record == "gdb_20"
    assert len(SomeQM9(root)) == 19  # left out anyway


def test_truncated_files_are_refused(root):
    sdf, csv = root / "raw" / "gdb9.sdf", root / "raw" / "gdb9.sdf.csv"
    text, rows = sdf.read_text(), csv.read_text()
    sdf.write_text(text[:-400])
    with pytest.raises(ValueError, match=r"gdb9\.sdf ends at line \d+, within record 21"):
        SomeQM9(root)
    sdf.write_text("$$$$\n".join(text.split("$$$$\n")[:-3]) + "$$$$\n")
    with pytest.raises(ValueError, match="has 19 records and .* 21 rows"):
        SomeQM9(root)
    sdf.write_text(text)
    csv.write_text("\n".join(rows.splitlines()[:-1]) + "\n")
    with pytest.raises(ValueError, match=r"csv, line 22: expected the name of record 21 .*gdb_21.*; got ''"):
        SomeQM9(root)


def test_files_in_another_order_are_refused(root):
    csv = root / "raw" / "gdb9.sdf.csv"
    rows = csv.read_text().splitlines()
    rows[4], rows[5] = rows[5], rows[4]
    csv.write_text("\n".join(rows) + "\n")
    with pytest.raises(ValueError, match=r"record 4 is gdb_4, and line 5 of .* is gdb_5"):
        SomeQM9(root)
    csv.write_text("\n".join([rows[0].replace("homo,lumo", "lumo,homo"), *rows[1:]]))
    with pytest.raises(ValueError, match=r"line 1: expected the columns mol_id,A,B,C.*got 'mol_id"):
        SomeQM9(root)


@pytest.mark.parametrize(("cell", "reason"), [("x", "could not convert"), ("nan", "mu of gdb_2 must be finite")])
def test_a_bad_row_is_named(root, cell, reason):
    csv = root / "raw" / "gdb9.sdf.csv"
    csv.write_text(csv.read_text().replace("191.39397,1.6256", f"191.39397,{cell}"))
    with pytest.raises(ValueError, match=f"record gdb_2: {reason}"):
        SomeQM9(root)


def test_a_list_without_rows_is_refused(tmp_path):
    write_uncharacterized(tmp_path / "list.txt", [])
    with pytest.raises(ValueError, match="no row after 9 lines"):
        read_uncharacterized(tmp_path / "list.txt")


def test_the_original_archive(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    files = {f"dsgdb9nsd_{n:06d}.xyz": qm9_xyz(n) for n in (1, 2, 3, 4)}
    write_tar(raw / "dsgdb9nsd.xyz.tar.bz2", files, "w:bz2")
    write_uncharacterized(raw / "uncharacterized.txt", [3])
    dataset = SomeQM9(tmp_path, layout="xyz")
    assert [data.name for data in dataset] == ["gdb_1", "gdb_2", "gdb_4"]
    for data, number in zip(dataset, (1, 2, 4), strict=True):
        symbols, pos, smiles = molecule(number)
        assert data.z.tolist() == [NUMBERS[symbol] for symbol in symbols]
        torch.testing.assert_close(data.pos, torch.tensor(pos, dtype=torch.float32))
        assert data.mulliken_charge.tolist() == [i - 0.25 for i in range(len(symbols))]
        assert data.smiles == smiles
        assert data.rotational_a.item() == pytest.approx(1.5e-6)  # written 1.5*^-6
        assert data.mu.item() == 4
        assert data.gap.item() == pytest.approx(8 * 27.211386245988)
        assert data.cv.item() == 15
        assert "u0_atom" not in data


def test_a_truncated_archive_is_refused(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    path = raw / "dsgdb9nsd.xyz.tar.bz2"
    write_tar(path, {f"dsgdb9nsd_{n:06d}.xyz": qm9_xyz(n) for n in range(1, 40)}, "w:bz2")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"dsgdb9nsd\.xyz\.tar\.bz2 is damaged or truncated"):
        SomeQM9(tmp_path, layout="xyz", keep_uncharacterized=True)


def test_a_bad_file_of_the_archive_is_named(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    text = qm9_xyz(2).replace("gdb 2", "gdb 5")
    write_tar(raw / "dsgdb9nsd.xyz.tar.bz2", {"dsgdb9nsd_000002.xyz": text}, "w:bz2")
    with pytest.raises(ValueError, match="record gdb_2: Line 2 must be gdb 2 and 15 numbers"):
        SomeQM9(tmp_path, layout="xyz", keep_uncharacterized=True)


def test_an_unknown_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match='layout must be "sdf" or "xyz"; got \'mol2\''):
        QM9(tmp_path, layout="mol2")


def test_missing_files_are_fetched_and_unpacked(root, tmp_path, monkeypatch):
    raw, source = root / "raw", tmp_path / "source"
    source.mkdir()
    with zipfile.ZipFile(source / "qm9.zip", "w") as archive:
        for name in ("gdb9.sdf", "gdb9.sdf.csv"):
            archive.write(raw / name, f"qm9/{name}")
    (raw / "uncharacterized.txt").rename(source / "3195404")
    monkeypatch.setattr(qm9, "_URL", (source / "qm9.zip").as_uri())
    monkeypatch.setattr(qm9, "_FIGSHARE", source.as_uri() + "/")
    assert len(SomeQM9(tmp_path / "elsewhere")) == 19
    fetched = sorted(path.name for path in (tmp_path / "elsewhere" / "raw").iterdir())
    assert fetched == ["gdb9.sdf", "gdb9.sdf.csv", "uncharacterized.txt"]
    (raw / "gdb9.sdf").unlink()
    (raw / "gdb9.sdf.csv").unlink()
    with zipfile.ZipFile(source / "qm9.zip", "w") as archive:
        archive.writestr("README", "")
    with pytest.raises(ValueError, match=r"qm9\.zip has no gdb9\.sdf, gdb9\.sdf\.csv, but \['README'\]"):
        SomeQM9(root)


# V2000 records ---------------------------------------------------------------------------------------------------


def test_charges_and_aromatic_bonds():
    text = block("ion", ["N", "O", "C"], POSITIONS, [(3, 1, 4), (1, 2, 1)], ["M  CHG  2   1   1   2  -1"])
    data = parse_record(record(text))
    assert data.formal_charge.tolist() == [1, -1, 0]
    assert data.bond_index.tolist() == [[0, 0], [2, 1]]
    assert data.bond_order.tolist() == [1.5, 1]


def test_charges_of_the_atom_block_count_unless_there_are_lines_of_them():
    text = block("ion", ["N", "O", "C"], POSITIONS, [])
    lines = text.splitlines()
    lines[4] = lines[4][:36] + "  3" + lines[4][39:]
    assert parse_record(record("\n".join(lines))).formal_charge.tolist() == [1, 0, 0]
    lines.insert(7, "M  CHG  1   2  -1")
    assert parse_record(record("\n".join(lines))).formal_charge.tolist() == [0, -1, 0]


def test_numbers_that_touch_are_told_apart_by_their_columns():
    symbols = ["C"] * 120
    pos = [(-1000.0 - i, -2000.0, -3000.0) for i in range(120)]
    data = parse_record(record(block("large", symbols, pos, [(101, 102, 1), (119, 120, 2)])))
    assert data.bond_index.tolist() == [[100, 118], [101, 119]]
    assert data.pos[5].tolist() == [-1005, -2000, -3000]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("V2000", "V3000", "Line 4 must be a V2000 counts line"),
        ("  3  2  0", "  x  2  0", "Line 4 must be a V2000 counts line"),
        ("  3  2  0", "  3  3  0", "Line 10 must be a bond"),
        (" O  ", " Xx ", "Line 6 must be an atom.*'Xx' is not the symbol"),
        ("    1.0000", "       nan", "Line 6 must be an atom.*finite"),
        ("  1  2  1", "  1  4  1", "Line 8 must be a bond: two of atoms 1 to 3"),
        ("  1  2  1", "  1  1  1", "Line 8 must be a bond"),
        ("  1  2  1", "  1  2  9", "Line 8 must be a bond"),
        ("  2  3  1", "  2  1  1", "Line 9 must be a bond"),
        ("  3  2  0", "  3  1  0", "Line 9 must be M  END or another property"),
        ("M  END", "", "Line 10 must be M  END"),
        ("M  END", "M  ISO  1   1  15", "Line 10 must be M  END"),
        ("M  END", "M  CHG  1   9   1\nM  END", "Line 10 must be charges.*no atom 9"),
    ],
)
def test_a_damaged_record_is_refused_by_its_line(old, new, message):
    text = block("bad", ["N", "O", "C"], POSITIONS, [(1, 2, 1), (2, 3, 1)])
    assert old in text
    with pytest.raises(ValueError, match=message):
        parse_record(record(text.replace(old, new)))


@pytest.mark.parametrize(
    "smiles",
    [
        "C[N+](C)(C)CC(=O)[O-]",
        "ClCBr",
        "c1ccc2[nH]ccc2c1",
        "[2H]C([13CH3])O",
        "[Na+].[Cl-]",
        "OB(O)c1cc[se]c1",
        "[H][H]",
    ],
)
def test_heavy_atoms_are_those_of_rdkit(smiles):
    from rdkit import Chem as chem

    numbers = [atom.GetAtomicNum() for atom in chem.MolFromSmiles(smiles).GetAtoms()]
    assert sorted(heavy_atoms(smiles).elements()) == sorted(number for number in numbers if number > 1)
