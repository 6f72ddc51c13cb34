import gzip
import zipfile

import pytest
import torch

from molspectra.data import validate
from molspectra.data.datasets.pcqm4mv2 import PCQM4Mv2
from tests.data.datasets.layouts_qm9 import NUMBERS, molecule, write_pcqm4mv2, write_tar


class SomePCQM(PCQM4Mv2):
    num_molecules = 12


@pytest.fixture
def root(tmp_path):
    write_pcqm4mv2(tmp_path / "raw", num=12)
    return tmp_path


@pytest.mark.parametrize("layout", ["sdf", "xyz"])
def test_structures_are_joined_with_their_rows(root, layout):
    dataset = SomePCQM(root, layout=layout)
    assert len(dataset) == 12
    for index, data in enumerate(dataset):  # 0, 1, 2, …, 10: not 0, 1, 10, 11, 2
        symbols, pos, smiles = molecule(index)
        assert data.z.tolist() == [NUMBERS[symbol] for symbol in symbols]
        torch.testing.assert_close(data.pos, torch.tensor(pos, dtype=torch.float32))
        assert data.gap.item() == index + 0.5
        assert (data.smiles, data.number) == (smiles, index)
        assert ("bond_index" in data) == (layout == "sdf")
        validate(data)
    if layout == "sdf":
        assert dataset[1].bond_index.tolist() == [[0, 0], [1, 2]]
        assert dataset[1].formal_charge.tolist() == [0, 0, 0]


def test_another_number_of_structures_is_refused(root):
    with pytest.raises(ValueError, match=r"sdf\.tar\.gz: found 12 molecules; 3378606 were published"):
        PCQM4Mv2(root)


def test_fewer_rows_than_structures_are_refused(root):
    table = root / "raw" / "data.csv.gz"
    lines = gzip.decompress(table.read_bytes()).decode().splitlines()
    table.write_bytes(gzip.compress("\n".join(lines[:10]).encode()))
    with pytest.raises(ValueError, match=r"data\.csv\.gz has no row 9"):
        SomePCQM(root)


@pytest.mark.parametrize("row", ["7,C,0.1", "5,C", "x,C,0.1"])
def test_a_row_out_of_place_is_refused(root, row):
    table = root / "raw" / "data.csv.gz"
    lines = gzip.decompress(table.read_bytes()).decode().splitlines()
    lines[6] = row
    table.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(ValueError, match=f"line 7: expected row 5 with three cells; got '{row}'"):
        SomePCQM(root, layout="xyz")


def test_a_structure_of_another_molecule_is_refused(root):
    table = root / "raw" / "data.csv.gz"
    text = gzip.decompress(table.read_bytes()).decode().replace("\n4,C,4.5", "\n4,CO,4.5")
    table.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match="record 4: The structure has C1 and row 4, CO, has C1 O1"):
        SomePCQM(root)
    with pytest.warns(UserWarning, match="skipped 1 broken"):
        assert [data.number for data in SomePCQM(root, skip_broken=True)] == [n for n in range(12) if n != 4]


@pytest.mark.parametrize("gap", ["", "nan", "wide"])
def test_a_training_molecule_without_gap_is_refused(root, gap):
    table = root / "raw" / "data.csv.gz"
    text = gzip.decompress(table.read_bytes()).decode().replace("\n4,C,4.5", f"\n4,C,{gap}")
    table.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match="record 4: "):
        SomePCQM(root)


@pytest.mark.parametrize("name", ["data.csv.gz", "pcqm4m-v2-train.sdf.tar.gz", "pcqm4m-v2_xyz.zip"])
def test_truncated_files_are_refused_by_name(root, name):
    path = root / "raw" / name
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=f"{name} is damaged or truncated"):
        SomePCQM(root, layout="xyz" if name.endswith("zip") else "sdf")


def test_archives_of_something_else_are_refused(root):
    raw = root / "raw"
    write_tar(raw / "pcqm4m-v2-train.sdf.tar.gz", {"README": "x"}, "w:gz")
    with pytest.raises(ValueError, match=r"has no file \*\.sdf"):
        SomePCQM(root)
    with zipfile.ZipFile(raw / "pcqm4m-v2_xyz.zip", "a") as archive:
        archive.writestr("pcqm4m-v2_xyz/1/3.xyz", "1\n\nC 0 0 0\n")
    with pytest.raises(ValueError, match=r"has a file pcqm4m-v2_xyz/1/3\.xyz.*each number once"):
        SomePCQM(root, layout="xyz")


def test_a_table_of_other_columns_is_refused(root):
    (root / "raw" / "data.csv.gz").write_bytes(gzip.compress(b"idx,smiles\n"))
    with pytest.raises(ValueError, match="line 1: expected the columns idx,smiles,homolumogap"):
        SomePCQM(root)
