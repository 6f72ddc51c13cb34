"""Bundled measured mass spectra: against masses by RDKit, and the split by compound."""

import hashlib
from importlib import resources

import pytest
import torch
from torch.utils.data import DataLoader

import molspectra as ms
from molspectra.data import Collate, MassBank

ADDUCTS = {"[M+H]+": 1.007276, "[M-H]-": -1.007276, "[M+Na]+": 22.989218, "[M]+": -0.000549}


@pytest.fixture(scope="module")
def everything() -> MassBank:
    return MassBank("all")


def test_sizes_and_split_by_compound(everything):
    assert {split: len(MassBank(split)) for split in ("train", "val", "test", "all")} == {
        "train": 5738,
        "val": 480,
        "test": 720,
        "all": 6938,
    }
    arrays = everything.archive.arrays
    for key, split in zip(arrays["inchikey"], arrays["molecule_split"], strict=True):
        number = int(hashlib.sha256(f"split:{key[:14]}".encode()).hexdigest(), 16) % 100
        assert split == (0 if number < 80 else 1 if number < 90 else 2)
    assert (arrays["split"] == arrays["molecule_split"][arrays["molecule"]]).all()
    assert len(set(arrays["accession"])) == 6938


def test_precursors_are_those_of_formula_and_adduct(everything):
    from rdkit import Chem as chem

    for data in everything[::50]:
        ms.data.validate(data, kinds=())
        mass = ms.data.monoisotopic_mass(data.z)
        assert float(data.precursor_mz) == pytest.approx(mass + ADDUCTS[data.adduct], abs=0.02)
        assert chem.MolToInchiKey(chem.MolFromSmiles(data.smiles))[:14] == data.inchikey[:14]
        assert data.formula == ms.data.molecular_formula(data.z)
        assert (float(data.precursor_charge) > 0) == (data.ion_mode == "positive")
        assert data.msms.shape[0] == 1
        mz, intensity = data.msms[0].unbind(dim=1)
        assert (mz.diff() >= 0).all()
        assert mz[0] > 40
        assert (intensity >= 0).all()
        energies = torch.cat([data.collision_energy, data.normalized_collision_energy])
        assert int(energies.isfinite().sum()) <= 1


def test_a_known_record(everything):
    """The first spectrum of amiloride, as MassBank shows it."""
    row = everything.archive.arrays["accession"].tolist().index("MSBNK-HBM4EU-HB000101")
    data = everything[row]
    torch.testing.assert_close(
        data.msms[0], torch.tensor([[171.0061, 12999.1], [230.0551, 2297919.8]], dtype=torch.float32)
    )
    assert (data.name, data.formula) == ("Amiloride", "C6H8ClN7O")
    assert (data.adduct, data.instrument) == ("[M+H]+", "LC-ESI-ITFT")
    assert float(data.normalized_collision_energy) == 10
    assert bool(data.collision_energy.isnan())


def test_batches():
    batch = next(iter(DataLoader(MassBank("validation"), batch_size=16, collate_fn=Collate())))
    assert batch.num_graphs == 16
    assert batch.msms.dim() == 3
    assert batch.msms.shape[2] == 2


def test_the_files_are_small():
    folder = resources.files("molspectra.data.datasets") / "massbank"
    files = {file.name: len(file.read_bytes()) for file in folder.iterdir()}
    assert set(files) == {"LICENSE", "README.md", "massbank.npz"}
    assert sum(files.values()) < 1_500_000
