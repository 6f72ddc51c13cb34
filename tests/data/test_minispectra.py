"""The bundled data set: its contents against their own definitions and RDKit, and its behaviour as a sequence."""

import hashlib
import pickle
import subprocess
import sys
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from molspectra.data import MiniSpectra

SIZES = {"train": 584, "validation": 78, "val": 78, "test": 73, "all": 735}
HARTREE = 27.211386


@pytest.fixture(scope="module")
def everything() -> list[Data]:
    return list(MiniSpectra("all"))


@pytest.mark.parametrize("split", SIZES)
def test_sizes(split):
    dataset = MiniSpectra(split)
    assert len(dataset) == SIZES[split]
    assert repr(dataset) == f"MiniSpectra('{split}'): {SIZES[split]} molecules"


def test_trains_by_default():
    assert MiniSpectra()[0].smiles == MiniSpectra("train")[0].smiles


def test_split_is_by_hash_of_the_smiles():
    def part(smiles: str) -> str:
        number = int(hashlib.sha256(f"split:{smiles}".encode()).hexdigest(), 16) % 100
        return "train" if number < 80 else "validation" if number < 90 else "test"

    for split in ("train", "validation", "test"):
        assert {part(data.smiles) for data in MiniSpectra(split)} == {split}


def test_no_molecule_twice(everything):
    assert max(Counter(data.smiles for data in everything).values()) == 1


def test_fields(everything):
    for data in everything:
        atoms, bonds = len(data.z), data.bond_order.shape[0]
        assert data.z.dtype == data.bond_index.dtype == torch.int64
        shapes = {"pos": (atoms, 3), "bond_index": (2, bonds), "mulliken_charge": (atoms,), "dipole": (1, 3)}
        shapes |= {"uv_vis": (1, 601), "ir": (1, 3501), "raman": (1, 3501)}
        assert {name: tuple(data[name].shape) for name in shapes} == shapes
        for name in set(MiniSpectra.units) - set(shapes):
            assert data[name].shape == (1,), name
        for name in MiniSpectra.units:
            total = name in ("energy", "u0", "u298", "h298", "g298")
            assert data[name].dtype == (torch.float64 if total else torch.float32), name
            assert data[name].isfinite().all(), name
    assert set(everything[0].keys()) == {*MiniSpectra.units, "z", "bond_index", "bond_order", "smiles"}


def test_labels_are_consistent(everything):
    for data in everything:
        torch.testing.assert_close(data.gap, data.lumo - data.homo, rtol=0, atol=1e-4)
        torch.testing.assert_close(data.pbe0_gap, data.pbe0_lumo - data.pbe0_homo, rtol=0, atol=1e-4)
        torch.testing.assert_close(data.mu, data.dipole.norm(dim=1), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(data.u0, data.energy + data.zpve, rtol=0, atol=1e-4)
        assert data.mulliken_charge.sum().abs() < 1e-3
        kt = 8.617333e-5 * 298.15
        torch.testing.assert_close(data.h298 - data.u298, torch.tensor([kt], dtype=torch.float64), rtol=0, atol=1e-5)


def test_atoms_and_bonds_are_those_of_the_smiles(everything):
    from rdkit import Chem as chem

    for data in everything:
        mol = chem.AddHs(chem.MolFromSmiles(data.smiles))
        assert [atom.GetAtomicNum() for atom in mol.GetAtoms()] == data.z.tolist()
        bonds = {
            (*sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())), bond.GetBondTypeAsDouble())
            for bond in mol.GetBonds()
        }
        (i, j), order = data.bond_index.tolist(), data.bond_order.tolist()
        assert bonds == set(zip(i, j, order, strict=True))


def test_bonded_atoms_are_close_and_others_are_not(everything):
    for data in everything:
        i, j = data.bond_index
        distance = torch.cdist(data.pos, data.pos)
        assert distance[i, j].max() < 1.75
        distance[i, j] = distance[j, i] = 99.0
        distance.fill_diagonal_(99.0)
        assert distance.min() > 1.3  # geminal hydrogens of water stand 1.5 Å apart


def test_spectra_are_those_of_the_generator():
    # Spectra of the program that computed the lines, stored in float16 before the data set held lines alone.
    stored = np.load(Path(__file__).with_name("minispectra_float16.npz"))
    molecules = {data.smiles: data for data in MiniSpectra("all")}
    for row, smiles in enumerate(stored["smiles"]):
        for kind in ("uv_vis", "ir", "raman"):
            found = molecules[str(smiles)][kind][0].numpy()
            np.testing.assert_allclose(found, stored[kind][row].astype(np.float32), rtol=2**-11, atol=2**-25)


def test_sticks(everything):
    dataset = MiniSpectra("all")
    for i in (0, 100, -1):
        atoms = len(everything[i].z)
        positions, intensities = dataset.sticks(i, "ir")
        linear = 3 * atoms - positions.shape[0] == 5
        assert linear or positions.shape[0] == 3 * atoms - 6
        assert positions.shape == intensities.shape
        assert positions.dtype == intensities.dtype == torch.float32
        assert torch.equal(dataset.sticks(i, "raman")[0], positions)
        # Half the sum of the wavenumbers is the zero-point energy.
        zpve = 0.5 * positions[positions > 0].sum() / 8065.544
        assert float(zpve) == pytest.approx(float(everything[i].zpve), abs=2e-3)
        energies, _ = dataset.sticks(i, "uv_vis")
        assert energies.max() <= 14.5
    # A view counts its own molecules.
    assert torch.equal(MiniSpectra("all")[100:].sticks(1, "uv_vis")[0], dataset.sticks(101, "uv_vis")[0])
    with pytest.raises(ValueError, match='kind must be "uv_vis", "ir" or "raman"; got \'nmr\''):
        dataset.sticks(0, "nmr")


def smiles_of(molecules) -> list[str]:
    return [data.smiles for data in molecules]


def test_is_a_sequence():
    dataset = MiniSpectra("test")
    smiles = smiles_of(dataset)
    mask = torch.rand(73) < 0.3
    assert dataset[-1].smiles == dataset[np.int64(72)].smiles == dataset[torch.tensor(72)].smiles == smiles[-1]
    for view, expected in [
        (dataset[3:9:2], smiles[3:9:2]),
        (dataset[::-1], smiles[::-1]),
        (dataset[[5, -1, 5]], [smiles[5], smiles[-1], smiles[5]]),
        (dataset[torch.tensor([7, 2])], [smiles[7], smiles[2]]),
        (dataset[np.array([7, 2])], [smiles[7], smiles[2]]),
        (dataset[torch.arange(0)], []),
        (dataset[[]], []),
        (dataset[mask], [s for s, keep in zip(smiles, mask.tolist(), strict=True) if keep]),
        (dataset[mask.tolist()], [s for s, keep in zip(smiles, mask.tolist(), strict=True) if keep]),
        (dataset[10:][[1, 2]][1:], [smiles[12]]),
    ]:
        assert isinstance(view, MiniSpectra)
        assert smiles_of(view) == expected
        assert len(view) == len(expected)
    assert smiles_of(reversed(dataset)) == smiles[::-1]


@pytest.mark.parametrize(
    ("index", "error", "match"),
    [
        (73, IndexError, r"index must lie in 0..72 \(or count from the end, as -1\); got 73"),
        (-74, IndexError, "got -74"),
        ([0, 73], IndexError, "got 73"),
        (1.0, TypeError, "index must be an integer, a slice, or a list or tensor"),
        ("ir", TypeError, "got 'ir'"),
        ([0.5], TypeError, "of integers or booleans; got float64"),
        (torch.zeros(2, 2, dtype=torch.int64), TypeError, "index must be one-dimensional"),
        ([True, False], IndexError, "A mask must have 73 entries, one per molecule; got 2"),
    ],
)
def test_refuses_indices(index, error, match):
    with pytest.raises(error, match=match):
        MiniSpectra("test")[index]


def test_refuses_a_split():
    with pytest.raises(ValueError, match='split must be "train", "validation", "val", "test" or "all"; got \'dev\''):
        MiniSpectra("dev")


def test_changing_a_molecule_does_not_change_the_data_set():
    dataset = MiniSpectra("test")
    for name, value in dataset[0]:
        if isinstance(value, torch.Tensor):
            dataset[0][name].zero_()
            assert torch.equal(dataset[0][name], value)


def without_spectra(data: Data) -> Data:
    for kind in MiniSpectra.axes:
        del data[kind]
    return data


def test_transform():
    dataset = MiniSpectra("test", transform=without_spectra)
    assert "ir" not in dataset[0]
    assert "ir" not in dataset[3:5][0]
    assert "transform=" in repr(dataset)


def test_filter():
    def small(data):
        return len(data.z) < 12

    dataset = MiniSpectra("test", pre_filter=small)
    assert [data.smiles for data in dataset] == [data.smiles for data in MiniSpectra("test") if small(data)]
    assert 0 < len(dataset[:5]) < len(dataset) < len(MiniSpectra("test"))
    assert len(MiniSpectra("test", pre_filter=lambda data: False)) == 0


def test_batches():
    batch = next(iter(DataLoader(MiniSpectra("train"), batch_size=5)))
    molecules = list(MiniSpectra("train")[:5])
    assert batch.num_graphs == 5
    assert batch.uv_vis.shape == (5, 601)
    assert batch.raman.shape == (5, 3501)
    assert batch.dipole.shape == (5, 3)
    assert batch.energy.shape == (5,)
    assert batch.mulliken_charge.shape == batch.z.shape
    assert batch.smiles == smiles_of(molecules)
    first = 0
    expected = []
    for data in molecules:
        expected.append(data.bond_index + first)
        first += len(data.z)
    assert torch.equal(batch.bond_index, torch.cat(expected, dim=1))


@pytest.mark.slow
def test_workers_see_the_same_molecules():
    # "spawn" is the strictest way to start a worker: the data set is pickled, the file read anew.
    loader = DataLoader(
        MiniSpectra("test"), batch_size=16, shuffle=True, num_workers=2, multiprocessing_context="spawn"
    )
    smiles = [s for batch in loader for s in batch.smiles]
    assert sorted(smiles) == sorted(smiles_of(MiniSpectra("test")))


def test_pickles_without_the_data():
    dataset = MiniSpectra("all")
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 10_000
    assert smiles_of(pickle.loads(pickled)[5:8]) == smiles_of(dataset[5:8])


def test_importing_reads_nothing():
    code = (
        "import sys, molspectra.data as d; from molspectra.data.datasets.archive import _read as a;"
        "assert a.cache_info().currsize == 0; assert not {'rdkit', 'ase', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_file_is_small():
    folder = resources.files("molspectra.data.datasets") / "minispectra"
    files = {file.name: len(file.read_bytes()) for file in folder.iterdir()}
    assert set(files) == {"LICENSE", "README.md", "minispec.npz"}
    assert sum(files.values()) < 1_500_000
