"""Bundled shifts of atoms: against their own definitions, RDKit, chemistry textbooks and the published deviation."""

import hashlib
from importlib import resources

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from molspectra.data import CascadeNMR, validate

SIZES = {"train": 5377, "validation": 687, "val": 687, "test": 636, "all": 6700}


@pytest.fixture(scope="module")
def everything() -> CascadeNMR:
    return CascadeNMR("all")


def test_sizes_and_split(everything):
    def part(smiles: str) -> int:
        number = int(hashlib.sha256(f"split:{smiles}".encode()).hexdigest(), 16) % 100
        return 0 if number < 80 else 1 if number < 90 else 2

    assert {split: len(CascadeNMR(split)) for split in SIZES} == SIZES
    arrays = everything.archive.arrays
    assert [part(str(smiles)) for smiles in arrays["smiles"]] == arrays["split"].tolist()
    assert len(set(arrays["smiles"])) == 6700


def test_molecules_are_those_of_their_smiles(everything):
    from rdkit import Chem as chem

    for data in everything[::100]:
        validate(data, kinds=())
        mol = chem.AddHs(chem.MolFromSmiles(data.smiles))
        assert sorted(atom.GetAtomicNum() for atom in mol.GetAtoms()) == data.z.sort().values.tolist()
        assert mol.GetNumBonds() == data.bond_index.shape[1]
        length = (data.pos[data.bond_index[0]] - data.pos[data.bond_index[1]]).norm(dim=1)
        assert 0.9 < length.min() < length.max() < 2.6


def test_shifts_belong_to_their_elements(everything):
    batch = Batch.from_data_list(list(everything[::7]))
    shifted = batch.shift_dft.isfinite()
    assert torch.equal(shifted, (batch.z == 1) | (batch.z == 6))
    assert (batch.z[batch.shift_measured.isfinite()] == 6).all()
    assert int((everything.archive.arrays["shift_measured"] != -32768).sum()) == 47904
    hydrogen, carbon = (batch.shift_dft[batch.z == z] for z in (1, 6))
    assert -5 < hydrogen.min() < hydrogen.max() < 20
    assert -5 < carbon.min() < carbon.max() < 300
    deviation = (batch.shift_dft - batch.shift_measured)[batch.shift_measured.isfinite()].abs()
    assert float(deviation.mean()) == pytest.approx(1.69, abs=0.06)


def neighbors(data) -> dict[int, list[tuple[int, float]]]:
    """Element and bond order of the neighbors of each atom."""
    found: dict[int, list[tuple[int, float]]] = {i: [] for i in range(len(data.z))}
    for (i, j), order in zip(data.bond_index.t().tolist(), data.bond_order.tolist(), strict=True):
        found[i].append((int(data.z[j]), order))
        found[j].append((int(data.z[i]), order))
    return {atom: sorted(pairs) for atom, pairs in found.items()}


def test_shifts_of_textbooks(everything):
    """Carbons of esters and acids, of aldehydes, of methyl groups on carbon and of nitriles, in ppm."""
    ranges = {"ester": (150, 180), "aldehyde": (180, 208), "methyl": (5, 35), "nitrile": (108, 125)}
    groups: dict[str, list[float]] = {name: [] for name in ranges}
    for data in everything[::6]:
        for atom, pairs in neighbors(data).items():
            if data.z[atom] != 6:
                continue
            oxygens = [order for z, order in pairs if z == 8]
            name = {
                "ester": sorted(oxygens) == [1, 2] and (6, 1) in pairs,
                "aldehyde": pairs == [(1, 1), (6, 1), (8, 2)],
                "methyl": pairs[:3] == [(1, 1)] * 3 and pairs[3][0] == 6,
                "nitrile": (7, 3) in pairs,
            }
            for group, fits in name.items():
                if fits:
                    groups[group].append(float(data.shift_dft[atom]))
    for group, (low, high) in ranges.items():
        assert len(groups[group]) > 20, group
        assert low < np.percentile(groups[group], 5) < np.percentile(groups[group], 95) < high, group


def test_the_files_are_small():
    folder = resources.files("molspectra.data.datasets") / "cascade_nmr"
    files = {file.name: len(file.read_bytes()) for file in folder.iterdir()}
    assert set(files) == {"LICENSE", "README.md", "cascade_nmr.npz"}
    assert sum(files.values()) < 2_500_000
