"""The bundled corpus: its contents against their own definitions and RDKit."""

import hashlib
from importlib import resources

import pytest
import torch
from torch_geometric.data import Batch

from molspectra.data import IR, RAMAN, UV_VIS, MiniSpectra, SpectrumAxis, XTBVibrations, broaden
from molspectra.spectra.augment import BroadenSticks

SIZES = {"train": 9926, "validation": 1200, "val": 1200, "test": 1283, "all": 12409}
COARSE = SpectrumAxis("ir", 500, 4000, 10, "cm^-1")


@pytest.fixture(scope="module")
def everything() -> XTBVibrations:
    return XTBVibrations("all", axes={})


@pytest.mark.parametrize("split", SIZES)
def test_sizes(split):
    assert len(XTBVibrations(split)) == SIZES[split]


def test_split_is_by_hash_of_the_smiles(everything):
    def part(smiles: str) -> int:
        number = int(hashlib.sha256(f"split:{smiles}".encode()).hexdigest(), 16) % 100
        return 0 if number < 80 else 1 if number < 90 else 2

    arrays = everything.archive.arrays
    assert [part(str(smiles)) for smiles in arrays["smiles"]] == arrays["split"].tolist()


def test_no_molecule_twice_and_none_of_minispectra(everything):
    from rdkit import Chem as chem

    def canonical(smiles: str) -> str:
        return chem.MolToSmiles(chem.MolFromSmiles(smiles), isomericSmiles=False)

    corpus = [canonical(str(smiles)) for smiles in everything.archive.arrays["smiles"]]
    assert len(set(corpus)) == len(corpus) == 12409
    assert not set(corpus) & {canonical(str(smiles)) for smiles in MiniSpectra.archive.arrays["smiles"]}


def test_fields_and_labels_are_consistent(everything):
    assert set(everything[0].keys()) == {*XTBVibrations.units, "z", "bond_index", "bond_order", "smiles"} - {
        "ir",
        "raman",
    }
    matched = 0
    for data in everything[::20]:
        atoms, bonds = len(data.z), data.bond_order.shape[0]
        assert data.pos.shape == (atoms, 3)
        assert data.mulliken_charge.shape == (atoms,)
        assert data.bond_index.shape == (2, bonds)
        assert (data.bond_index[0] < data.bond_index[1]).all()
        torch.testing.assert_close(data.gap, data.lumo - data.homo, rtol=0, atol=1e-4)
        assert data.mulliken_charge.sum().abs() < 1e-3
        for name in set(XTBVibrations.units) - {"pos", "mulliken_charge", "dipole", "polarizability", "ir", "raman"}:
            assert data[name].shape == (1,), name
            assert data[name].dtype == (torch.float64 if name in ("energy", "qm9_u298") else torch.float32), name
        matched += int(data.qm9_gap.isfinite())
    assert matched > 600


def test_labels_of_qm9_follow_those_of_xtb(everything):
    """Two levels of theory agree on heat capacities, and less on what GFN2's minimal basis lacks."""
    batch = Batch.from_data_list(list(everything[::10]))
    known = batch.qm9_cv.isfinite()
    assert torch.corrcoef(torch.stack([batch.cv, batch.qm9_cv])[:, known])[0, 1] > 0.99
    assert torch.corrcoef(torch.stack([batch.alpha, batch.qm9_alpha])[:, known])[0, 1] > 0.85
    assert torch.corrcoef(torch.stack([batch.gap, batch.qm9_gap])[:, known])[0, 1] > 0.8


def test_atoms_and_bonds_are_those_of_the_smiles(everything):
    from rdkit import Chem as chem

    for data in everything[::25]:
        mol = chem.AddHs(chem.MolFromSmiles(data.smiles))
        assert [atom.GetAtomicNum() for atom in mol.GetAtoms()] == data.z.tolist()
        bonds = {
            (*sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())), bond.GetBondTypeAsDouble())
            for bond in mol.GetBonds()
        }
        assert bonds == set(zip(*data.bond_index.tolist(), data.bond_order.tolist(), strict=True))
        distance = torch.cdist(data.pos, data.pos)[tuple(data.bond_index)]
        assert 0.9 < distance.min() < distance.max() < 1.75


def test_lines_are_the_normal_modes(everything):
    for index in range(0, len(everything), 100):
        positions, intensities = everything.sticks(index, "ir")
        modes = 3 * len(everything[index].z) - positions.shape[0]
        assert modes in (5, 6)
        assert (intensities >= 0).all()
        # Half the sum of the wavenumbers is the zero-point energy.
        zpve = 0.5 * positions[positions > 0].sum() / 8065.544
        assert float(zpve) == pytest.approx(float(everything[index].zpve), abs=2e-3)


def test_spectra_are_broadened_lines():
    dataset = XTBVibrations("test", axes={"raman": COARSE}, fwhm=30, shape="gaussian")
    data = dataset[5]
    assert "ir" not in data
    torch.testing.assert_close(data.raman, broaden(*dataset.sticks(5, "raman"), COARSE, 30, "gaussian"))
    assert XTBVibrations("test")[5].ir.shape == (1, IR.length)


def test_lines_are_broadened_in_a_batch():
    batch = Batch.from_data_list(list(XTBVibrations("test", axes=None)[:8]))
    assert batch.ir.shape == (8, 81, 2)
    spectra = BroadenSticks(fwhm=16)(batch.ir, IR)
    expected = torch.cat([data.ir for data in XTBVibrations("test")[:8]])
    torch.testing.assert_close(spectra, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"axes": {"uv_vis": UV_VIS}}, ValueError, "kind of axes must be"),
        ({"shape": "voigt"}, ValueError, "shape must be"),
        ({"fwhm": 0.0}, ValueError, "fwhm must be positive"),
        ({"split": "tests"}, ValueError, "split must be"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        XTBVibrations(**arguments)


def test_the_file_is_small():
    folder = resources.files("molspectra.data.datasets") / "xtb_vibrations"
    files = {file.name: len(file.read_bytes()) for file in folder.iterdir()}
    assert set(files) == {"LICENSE", "README.md", "xtb_vibrations.npz"}
    assert sum(files.values()) < 14_000_000


def test_raman_axis_by_default():
    assert XTBVibrations("test").axes == {"ir": IR, "raman": RAMAN}
