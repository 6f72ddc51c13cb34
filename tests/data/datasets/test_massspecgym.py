"""MassSpecGym: rows in its public layout, damaged rows and files."""

import warnings

import pytest
import torch

from molspectra.data import MassSpecGym, from_smiles
from molspectra.data.store import Collate

COLUMNS = [
    *("identifier", "mzs", "intensities", "smiles", "inchikey", "formula", "precursor_formula", "parent_mass"),
    *("precursor_mz", "adduct", "instrument_type", "collision_energy", "fold", "simulation_challenge"),
]
ROWS = [
    "MassSpecGymID0000001 29.0386,31.0178 0.3,1.0 CCO LFQSCWFLJHTTHZ C2H6O C2H7O 46.041865 47.049141 [M+H]+ "
    "Orbitrap 30.0 train True",
    "MassSpecGymID0000002 31.0178 1.0 CCO LFQSCWFLJHTTHZ C2H6O C2H7O 46.041865 47.049141 [M+H]+ QTOF  train False",
    "MassSpecGymID0000003 41.0134,43.0058,58.5 0.1,1.0,0.25 CC(=O)C CSCPPACGZOOCGX C3H6O C3H6NaO 58.041865 81.031085 "
    "[M+Na]+ Orbitrap 20.0 test True",
]


def write(tmp_path, rows=ROWS, columns=COLUMNS, end="\n"):
    (tmp_path / "raw").mkdir(exist_ok=True)
    lines = ["\t".join(columns), *("\t".join(row.split(" ")) for row in rows)]
    (tmp_path / "raw" / "MassSpecGym.tsv").write_text("\n".join(lines) + end)
    return tmp_path


def test_rows(tmp_path):
    first, second, third = dataset = MassSpecGym(write(tmp_path))
    torch.testing.assert_close(first.msms, torch.tensor([[[29.0386, 0.3], [31.0178, 1.0]]], dtype=torch.float32))
    torch.testing.assert_close(third.msms[0, 2], torch.tensor([58.5, 0.25], dtype=torch.float32))
    assert (first.smiles, first.inchikey, first.adduct, first.instrument) == (
        *("CCO", "LFQSCWFLJHTTHZ"),
        *("[M+H]+", "Orbitrap"),
    )
    assert (first.identifier, first.fold, first.ion_mode) == ("MassSpecGymID0000001", "train", "positive")
    assert [bool(data.simulation_challenge) for data in dataset] == [True, False, True]
    assert [float(data.collision_energy) for data in (first, third)] == [30, 20]
    assert bool(second.collision_energy.isnan())
    assert float(first.precursor_mz) == 47.049141
    assert float(first.parent_mass) == 46.041865
    assert float(third.precursor_charge) == 1
    assert third.precursor_formula == "C3H6NaO"
    batch = Collate()(dataset.__getitems__([0, 1, 2]))
    assert batch.msms.shape == (3, 3, 2)
    assert batch.fold == ["train", "train", "test"]


def test_folds_and_conformers(tmp_path):
    train = MassSpecGym(write(tmp_path), fold="train", conformers=True, seed=3)
    assert [data.identifier[-1] for data in train] == ["1", "2"]
    assert torch.equal(train[1].pos, from_smiles("CCO", seed=3).pos)
    assert train.sizes.tolist() == [9, 9]
    assert [data.identifier[-1] for data in MassSpecGym(tmp_path, fold="test")] == ["3"]
    with pytest.raises(ValueError, match='fold must be "train", "val" or "test"'):
        MassSpecGym(tmp_path, fold="validation")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("29.0386,31.0178", "29.0386", "mzs and intensities must be as many; got 1 and 2"),
        ("29.0386,31.0178", "29.0386,x", "mzs must be numbers separated by commas"),
        ("0.3,1.0", "-0.3,1.0", "peaks must have a positive m/z and an intensity of 0 or more"),
        ("47.049141", "", "precursor_mz must be a positive number"),
        ("train True", "training True", "fold must be one of"),
        ("train True", "train Tru", "simulation_challenge True or False; got 'train' and 'Tru'"),
        ("CCO LFQ", "CCOLFQ", "another number of cells"),
        ("LFQSCWFLJHTTHZ", "LFQ", "inchikey must be stated; got 'LFQ'"),
    ],
)
def test_broken_rows(tmp_path, old, new, match):
    write(tmp_path, [ROWS[0].replace(old, new, 1), *ROWS[1:]])
    with pytest.raises(ValueError, match=rf"record line 2 \(.*{match}"):
        MassSpecGym(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset = MassSpecGym(tmp_path, skip_broken=True)
    assert len(dataset) == 2
    assert len(dataset.skipped) == 1


def test_damaged_tables(tmp_path):
    with pytest.raises(ValueError, match="ends within line 4: it is truncated"):
        MassSpecGym(write(tmp_path, end=""))
    with pytest.raises(ValueError, match=r"must have the columns \['fold', 'simulation_challenge'\]"):
        MassSpecGym(write(tmp_path, columns=COLUMNS[:-2]))


def test_molecules_without_a_conformer_are_broken(tmp_path):
    write(tmp_path, [ROWS[0].replace("CCO", "CC(O"), *ROWS[1:]])
    with pytest.raises(ValueError, match="smiles must be a valid SMILES"):
        MassSpecGym(tmp_path, conformers=True)
