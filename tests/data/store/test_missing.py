"""Molecules with and without a spectrum in one batch, from lists, stores and torch_geometric's own loader."""

import itertools

import pytest
import torch
import torch_geometric.loader
from torch.utils.data import DataLoader
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.data import IR, RAMAN, Collate
from molspectra.data.transforms import FillMissingSpectra


def molecule(**fields) -> Data:
    return Data(z=torch.tensor([6, 8]), pos=torch.rand(2, 3), **fields)


@pytest.fixture
def mixed():
    """Molecules with one, both or no spectra, and with or without a label."""
    return [
        molecule(),
        molecule(ir=torch.rand(1, 5), y=torch.tensor([1.0])),
        molecule(ir=torch.rand(1, 5), raman=torch.rand(1, 7)),
        molecule(raman=torch.rand(1, 7), y=torch.tensor([2.0])),
    ]


def test_any_order_gives_rows_of_nan(mixed):
    for order in itertools.permutations(range(4)):
        batch = Collate()([mixed[i] for i in order])
        assert set(batch.keys()) == {"z", "pos", "ir", "raman", "y", "batch", "ptr"}
        for row, i in enumerate(order):
            for name, length in (("ir", 5), ("raman", 7)):
                assert batch[name].shape == (4, length)
                expected = mixed[i][name][0] if name in mixed[i] else torch.full((length,), torch.nan)
                torch.testing.assert_close(batch[name][row], expected, rtol=0, atol=0, equal_nan=True)
            assert bool(batch.y[row].isnan()) == ("y" not in mixed[i])
    assert set(mixed[0].keys()) == {"z", "pos"}  # the molecules themselves are not changed
    assert batch[0].ir.shape == (1, 5)


def test_batches_equal_those_of_a_store(mixed, tmp_path):
    ms.data.write_store(tmp_path / "store", mixed)
    store = ms.data.MoleculeStore(tmp_path / "store")
    cut, collated = store.batch([0, 1, 2, 3]), Collate()(mixed)
    for name in ("z", "pos", "ir", "raman", "y", "batch", "ptr"):
        torch.testing.assert_close(cut[name], collated[name], rtol=0, atol=0, equal_nan=True)


def test_torch_geometrics_own_loader(mixed):
    """Without the transform it fails, or drops the spectra that the first molecule of a batch lacks."""
    assert "ir" not in Batch.from_data_list(mixed[:2])
    fill = FillMissingSpectra({"ir": 5, "raman": 7})
    loader = torch_geometric.loader.DataLoader([fill(data) for data in mixed], batch_size=2)
    assert [batch.ir.isnan().all(dim=1).tolist() for batch in loader] == [[True, False], [False, True]]
    assert [batch.raman.isnan().all(dim=1).tolist() for batch in loader] == [[True, True], [False, False]]


def test_a_batch_without_a_spectrum_trains():
    encoder = ms.encoders.PaiNN(8, 1, 8)
    specformer = ms.spectra.SpecFormer({"ir": 40}, patch_len=10, stride=5, hidden_channels=8, num_layers=1, num_heads=2)
    specformer.eval()
    data = [molecule(), molecule(ir=torch.rand(1, 40))]
    for order in ([0, 1], [1, 0]):
        batch = next(iter(DataLoader([data[i] for i in order], batch_size=2, collate_fn=Collate())))
        rows = specformer({"ir": batch.ir}).embedding
        alone = specformer({"ir": data[1].ir}).embedding
        torch.testing.assert_close(rows[order.index(1)], alone[0], rtol=1e-4, atol=1e-5)
        assert encoder(batch.z, batch.pos, batch.batch).scalars.isfinite().all()


def test_fields_that_cannot_be_nan_are_refused(mixed):
    bonded = molecule(bond_index=torch.tensor([[0], [1]]), smiles="CO", forces=torch.rand(2, 3))
    with pytest.raises(ValueError, match=r"bond_index is missing in 1 of 2 molecules, such as 0; .*exclude_keys"):
        Collate()([mixed[0], bonded])
    with pytest.raises(ValueError, match="smiles is missing in 1 of 2 molecules, such as 1"):
        Collate(exclude_keys=["bond_index", "forces"])([bonded, mixed[0]])
    with pytest.raises(ValueError, match="forces is missing in 1 of 2 molecules"):
        Collate(exclude_keys=["bond_index", "smiles"])([bonded, mixed[0]])
    batch = Collate(exclude_keys=["bond_index", "smiles", "forces"])([bonded, mixed[1]])
    assert batch.ir.isnan().all(dim=1).tolist() == [True, False]
    atom = Data(z=torch.tensor([1]), pos=torch.zeros(1, 3), forces=torch.zeros(1, 3))
    with pytest.raises(ValueError, match="forces is missing"):
        Collate()([atom, mixed[0]])


def test_spectra_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"ir must have the same length in all molecules of a batch; got \[5, 6\]"):
        Collate()([molecule(ir=torch.rand(1, 5)), molecule(ir=torch.rand(1, 6)), molecule()])


def test_axes_by_name_or_list():
    for axes in ([IR, RAMAN], {"ir": IR, "raman": 3501}, ms.data.MiniSpectra.axes):
        filled = FillMissingSpectra(axes)(molecule(ir=torch.zeros(1, 3501)))
        assert filled.ir.eq(0).all()
        assert filled.raman.shape == (1, 3501)
        assert filled.raman.isnan().all()
    filled = FillMissingSpectra([IR], dtype=torch.float64)(molecule())
    assert filled.ir.dtype == torch.float64
    assert repr(FillMissingSpectra([IR])) == "FillMissingSpectra({'ir': 3501})"


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("axes", "error", "match"),
    [
        ([], ValueError, "axes must name at least one kind"),
        (["ir"], TypeError, "axes must be SpectrumAxis objects"),
        ({"ir": 0}, TypeError, "The axis of 'ir' must be a SpectrumAxis or a length"),
        ({"ir": True}, TypeError, "The axis of 'ir' must be a SpectrumAxis or a length"),
    ],
)
def test_wrong_axes_are_refused(axes, error, match):
    with pytest.raises(error, match=match):
        FillMissingSpectra(axes)


def test_wrong_molecules_are_refused(mixed):
    fill = FillMissingSpectra({"ir": 6})
    with pytest.raises(ValueError, match=r"ir must have shape \(1, 6\), as its axis says; got \(1, 5\). Resample"):
        fill(mixed[1])
    with pytest.raises(ValueError, match="takes single molecules, not a Batch"):
        fill(Batch.from_data_list(mixed[:1]))


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ([{"ir": torch.rand(5)}, {"ir": torch.rand(5)}], ValueError, r"ir must have shape \(1, L\).* got \(5,\)"),
        ([{"ir": torch.rand(2, 5)}, {"ir": torch.rand(1, 5)}], ValueError, r"got \(2, 5\). Write data.ir"),
        ([{"ir": torch.ones(1, 5, dtype=torch.int64)}, {}], TypeError, "ir must be a floating-point tensor"),
        ([{"ir": [[0.5, 1.0]]}, {"ir": torch.rand(1, 2)}], TypeError, "got a list. Convert it"),
    ],
)
def test_spectra_without_a_row_of_their_own_are_refused(fields, error, match):
    with pytest.raises(error, match=match):
        Collate()([molecule(**each) for each in fields])


@pytest.mark.usefixtures("no_shape_checks")
def test_what_is_no_molecule_is_refused():
    for other in (None, "CCO", {"z": 1}, Batch.from_data_list([molecule(), molecule()])):
        with pytest.raises(TypeError, match=r"must be torch_geometric.data.Data; got a \w+ for molecule 1"):
            Collate()([molecule(), other])
    with pytest.raises(ValueError, match="at least one molecule; got none"):
        Collate()([])
    with pytest.raises(TypeError, match="Data; got a str"):
        FillMissingSpectra([IR])("CCO")
    with pytest.raises(ValueError, match="got two of 'ir'"):
        FillMissingSpectra([IR, ms.data.SpectrumAxis("ir", 0, 1, 1, "cm^-1")])
    with pytest.raises(TypeError, match="ir must be floating point; got torch.int64"):
        FillMissingSpectra([IR])(molecule(ir=torch.ones(1, IR.length, dtype=torch.int64)))
    assert FillMissingSpectra(IR)(molecule()).ir.isnan().all()
    with pytest.raises(TypeError, match="'foo' is a sparse tensor.*to_dense"):
        ms.data.write_store("unused", [molecule(foo=torch.eye(2).to_sparse())])
