import pickle
import tempfile
import warnings
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch_geometric.loader
from hypothesis import HealthCheck, given, settings
from torch.utils.data import DataLoader, DistributedSampler, Subset
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.data import Collate, MoleculeStore, write_store
from molspectra.data.store.columns import Column
from molspectra.pretrained.construction_dtype import construction_dtype

DTYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.bool),
    *(torch.uint8, torch.int8, torch.int32, torch.int64),
)
INDEX_DTYPES = (torch.uint8, torch.int32, torch.int64, torch.float32, torch.bool)


def assert_equal(found, expected, what=""):
    """Two values are of one type, dtype, shape, layout in memory, and the same bit by bit (NaN included)."""
    assert type(found) is type(expected), what
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype, what
        assert found.is_contiguous() or not expected.is_contiguous(), what
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True, msg=what)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), what
        for key, value in expected.items():
            assert_equal(found[key], value, f"{what}.{key}")
    else:
        assert found == expected, what


def by_name(data):
    """The fields of a molecule or batch in alphabetical order."""
    return {name: data[name] for name in sorted(data.keys())}


def assert_same_batch(found, expected):
    """Everything there is in a batch that `Batch.from_data_list` has made."""
    assert type(found) is type(expected)
    assert_equal(found.to_dict(), expected.to_dict(), "fields")
    for hidden in ("_num_graphs", "_slice_dict", "_inc_dict"):
        assert_equal(getattr(found, hidden), getattr(expected, hidden), hidden)
    assert found._store.__dict__.keys() == expected._store.__dict__.keys()
    assert found.num_graphs == expected.num_graphs
    assert found.num_nodes == expected.num_nodes
    for one, other in zip(found.to_data_list(), expected.to_data_list(), strict=True):
        assert_equal(one.to_dict(), other.to_dict(), "molecule")


def assembled(molecules):
    """The batch of PyTorch Geometric, with plain numbers as float32 rather than in the default dtype."""
    with construction_dtype(torch.float32):
        return Batch.from_data_list(molecules)


@st.composite
def molecules_of_any_fields(draw):
    """Molecules that all have the same fields, of random kinds, dtypes and shapes."""
    number = draw(st.integers(1, 6))
    sizes = draw(st.lists(st.integers(0, 4), min_size=number, max_size=number))
    fields = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["atoms", "ragged", "row", "index", "flat_index", "scalar", "text", "plain"]),
                st.sampled_from(DTYPES),
                st.lists(st.integers(0, 3), max_size=2),
            ),
            max_size=6,
        )
    )
    plain = draw(st.sampled_from([True, 3, 0.1]))
    molecules = []
    for size in sizes:
        data = Data(pos=torch.randn(size, 3))
        for place, (kind, dtype, shape) in enumerate(fields):
            name = f"f{place}_{kind}"
            length = draw(st.integers(0, 3))
            if kind == "text":
                data[name] = draw(st.text(max_size=3))
            elif kind == "plain":
                data[name] = type(plain)(plain * length)
            elif kind == "scalar":
                data[name] = torch.randint(0, 2, ()).to(dtype)
            elif "index" in kind:
                dtype = INDEX_DTYPES[DTYPES.index(dtype) % len(INDEX_DTYPES)]
                leading = () if kind == "flat_index" else (*shape, 2)
                data[name] = torch.randint(0, 2, (*leading, length)).to(dtype)
            else:
                rows = {"atoms": size, "ragged": length, "row": 1}[kind]
                data[name] = torch.randint(0, 2, (rows, *shape)).to(dtype)
        if draw(st.just(len(fields) % 3 == 0)):
            data.num_nodes = size
        molecules.append(data)
    indices = draw(st.lists(st.integers(-number, number - 1), min_size=1, max_size=8))
    if draw(st.booleans()):
        start, stop = sorted((draw(st.integers(0, number - 1)), number))
        indices = list(range(start, stop))
    return molecules, indices


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(molecules_of_any_fields())
def test_a_batch_is_what_torch_geometric_makes_of_the_molecules(drawn):
    molecules, indices = drawn
    with tempfile.TemporaryDirectory() as directory:
        write_store(f"{directory}/store", molecules)
        store = MoleculeStore(f"{directory}/store")
        batch = store.batch(indices)
        assert_same_batch(batch, assembled([store[i] for i in indices]))
        assert_same_batch(batch, assembled([molecules[i] for i in indices]))
        # Written as a batch, molecules are those that torch_geometric takes out of it.
        write_store(f"{directory}/copy", [batch, batch])
        copy = MoleculeStore(f"{directory}/copy")
        assert len(copy) == 2 * len(indices)
        for one, other in zip(copy, 2 * batch.to_data_list(), strict=True):
            assert_equal(by_name(one), by_name(other))
        copy.verify()


@pytest.fixture(scope="module")
def prepared():
    """Molecules with all that the methods of this library read."""
    prepare = ms.data.transforms.AddTopology()
    rare = ["O", "C", "FC(F)(F)F"]
    return [prepare(ms.data.MiniSpectra("validation")[i]) for i in range(12)] + [
        prepare(_with_spectra(ms.data.from_smiles(smiles))) for smiles in rare
    ]


def _with_spectra(data):
    known = ms.data.MiniSpectra("validation")[0]
    for name in set(known.keys()) - set(data.keys()):
        data[name] = known[name]
    del data["mulliken_charge"], data["formal_charge"]
    data.mulliken_charge = torch.zeros_like(data.pos[:, 0])
    return data


@pytest.fixture
def store(prepared, tmp_path):
    write_store(tmp_path / "store", prepared)
    return MoleculeStore(tmp_path / "store")


INDICES = [14, 0, 3, 3, -1, 7]


def test_batches_of_all_that_the_methods_read(prepared, store):
    for indices in (INDICES, range(15), [5]):
        expected = Batch.from_data_list([prepared[i] for i in indices])
        found = store.batch(indices)
        assert set(found.keys()) >= {"torsion_index", "rotatable_depth", "parent_index", "tree_span", "bridge"}
        assert_same_batch(found, expected)
        assert_same_batch(pickle.loads(pickle.dumps(found)), expected)
        assert_same_batch(found.clone(), expected.clone())
        assert_equal(found[0].to_dict(), expected[0].to_dict())


@pytest.mark.parametrize(
    "make",
    [
        tuple,
        np.array,
        torch.tensor,
        lambda indices: np.array(indices, dtype=np.int8),
        lambda indices: torch.tensor(indices, dtype=torch.int32),
    ],
    ids=["tuple", "array", "tensor", "int8", "int32 tensor"],
)
def test_any_sequence_of_numbers(store, make):
    assert_same_batch(store.batch(make(INDICES)), store.batch(INDICES))


def test_a_slice(store):
    assert_same_batch(store.batch(slice(2, -3)), store.batch(range(2, 12)))
    assert_same_batch(store.batch(slice(None, None, -2)), store.batch(range(14, -1, -2)))


@pytest.mark.parametrize(("indices", "wrong"), [([0, 15], 15), (torch.tensor([-16]), -16), (slice(0), None)])
def test_numbers_beyond_the_end_are_refused(store, indices, wrong):
    if wrong is None:
        assert store.batch(indices).num_graphs == 0
        return
    with pytest.raises(IndexError, match=rf"0\.\.14 .*got .*{wrong}"):
        store.batch(indices)


@pytest.mark.parametrize("indices", [[0.0], 3, [[1]], torch.ones(15, dtype=torch.bool), ["a"]])
@pytest.mark.usefixtures("no_shape_checks")
def test_what_is_no_list_of_numbers_is_refused(store, indices):
    with pytest.raises(TypeError, match="one-dimensional, of whole numbers"):
        store.batch(indices)


def test_no_molecules_make_an_empty_batch(store):
    batch = store.batch([])
    assert (batch.num_graphs, batch.num_nodes, batch.smiles) == (0, 0, [])
    assert batch.ir.shape == (0, 3501)
    assert batch.torsion_index.shape == (4, 0)
    assert batch.ptr.tolist() == [0]
    assert batch.to_data_list() == []


def test_fields_that_are_left_out(prepared, store):
    expected = Batch.from_data_list([prepared[i] for i in INDICES], exclude_keys=["ir", "pos", "smiles"])
    assert_same_batch(store.batch(INDICES, exclude_keys=["ir", "pos", "smiles"]), expected)


def test_what_is_changed_does_not_change_the_store(store):
    for indices in (INDICES, range(4)):
        before = store.batch(indices)
        changed = store.batch(indices)
        for value in changed.to_dict().values():
            if isinstance(value, torch.Tensor):
                value.zero_()
        assert_same_batch(store.batch(indices), before)
        assert_equal(changed._slice_dict, before._slice_dict)


def test_missing_spectra_and_labels_are_nan(tmp_path):
    molecules = [
        Data(z=torch.ones(n, dtype=torch.int64), pos=torch.rand(n, 3), ir=torch.rand(1, 5), gap=float(n))
        for n in (1, 2, 3, 4)
    ]
    for index in (0, 3):
        del molecules[index].ir
    del molecules[3].gap
    write_store(tmp_path / "store", molecules)
    store = MoleculeStore(tmp_path / "store")
    for data in molecules:
        data.ir = data.get("ir", torch.full((1, 5), torch.nan))
        data.gap = data.get("gap", torch.nan)
    for indices in ([0, 1, 2, 3], [3, 0], [3, 1, 3], [1, 2]):
        batch = store.batch(indices)
        expected = assembled([molecules[i] for i in indices])
        assert_equal(by_name(batch), by_name(expected))
        assert [data.ir.isnan().all().item() for data in batch.to_data_list()] == [i in (0, 3) for i in indices]


@pytest.mark.parametrize("field", ["charge", "smiles", "count", "pair_index"])
def test_other_fields_must_not_be_missing_in_a_part_of_a_batch(tmp_path, field):
    def molecule(n):
        values = {
            "charge": torch.rand(n),
            "smiles": "C",
            "count": n,
            "pair_index": torch.zeros(2, n, dtype=torch.int64),
        }
        return Data(pos=torch.rand(n, 3), **{field: values[field]} if n != 2 else {})

    molecules = [molecule(n) for n in (1, 2, 3)]
    write_store(tmp_path / "store", molecules)
    store = MoleculeStore(tmp_path / "store")
    with pytest.raises(
        ValueError, match=rf"{field} is missing in 1 of 3 molecules, such as 1.*exclude_keys=\['{field}'\]"
    ):
        store.batch([2, 1, 0])
    for indices in ([0, 2], [1, 1]):
        assert_same_batch(store.batch(indices), Batch.from_data_list([molecules[i] for i in indices]))
    assert_same_batch(
        store.batch([2, 1, 0], exclude_keys=[field]),
        Batch.from_data_list([molecules[i] for i in (2, 1, 0)], exclude_keys=[field]),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"face": torch.zeros(3, 2, dtype=torch.int64)},
        {"batch": torch.zeros(2, dtype=torch.int64)},
        {"my_batch": torch.zeros(2, dtype=torch.int64)},
        {"ptr": torch.zeros(2, dtype=torch.int64)},
        {"num_nodes": torch.tensor(2)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_names_with_rules_of_their_own_are_refused(tmp_path, fields):
    (name,) = fields
    write_store(tmp_path / "store", [Data(pos=torch.rand(2, 3), **fields)] * 2)
    with pytest.raises(ValueError, match=f"{name} is a name that torch_geometric"):
        MoleculeStore(tmp_path / "store").batch([0, 1])
    assert MoleculeStore(tmp_path / "store").batch([0, 1], exclude_keys=[name]).num_graphs == 2


def test_molecules_without_positions(tmp_path):
    bonds = torch.tensor([[0], [1]])
    write_store(tmp_path / "store", [Data(z=torch.ones(2), bond_index=bonds), Data(z=torch.ones(3), bond_index=bonds)])
    store = MoleculeStore(tmp_path / "store")
    batch = store.batch([1, 0])
    assert batch.batch.tolist() == [0, 0, 0, 1, 1]
    assert batch.bond_index.tolist() == [[0, 3], [1, 4]]
    assert store.sizes.tolist() == [2, 3]


def test_molecules_of_unknown_size(tmp_path):
    write_store(tmp_path / "store", [Data(y=torch.ones(1), bond_index=torch.tensor([[0], [1]]))])
    store = MoleculeStore(tmp_path / "store")
    with pytest.raises(ValueError, match="bond_index is offset by the number of atoms, which no field tells"):
        store.batch([0])
    with pytest.raises(ValueError, match="does not tell how many atoms"):
        _ = store.sizes
    assert store.batch([0], exclude_keys=["bond_index"]).batch is None


def test_sizes(prepared, store, tmp_path):
    assert store.sizes.tolist() == [data.num_nodes for data in prepared]
    with warnings.catch_warnings():
        write_store(tmp_path / "numbers", [Data(y=torch.ones(1), num_nodes=n) for n in (4, 2, 0)])
    numbers = MoleculeStore(tmp_path / "numbers")
    assert numbers.sizes.tolist() == [4, 2, 0]
    assert numbers.batch([1, 0]).batch.tolist() == [0, 0, 1, 1, 1, 1]


# Data loaders


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_cuts_batches(prepared, store, num_workers):
    loader = DataLoader(
        store, batch_size=4, collate_fn=Collate(), num_workers=num_workers, persistent_workers=num_workers > 0
    )
    for _ in range(2):
        found = list(loader)
        assert len(found) == 4
        for start, batch in zip(range(0, 15, 4), found, strict=True):
            assert_same_batch(batch, Batch.from_data_list(prepared[start : start + 4]))


def test_tensors_of_a_worker_are_made_in_shared_memory(store):
    def is_shared(batch):
        return all(batch[name].is_shared() for name in ("z", "pos", "ir", "energy"))

    assert list(DataLoader(store, batch_size=8, collate_fn=Collate(is_shared), num_workers=1)) == [True, True]
    assert not is_shared(store.batch([0, 1]))


def test_every_way_to_load_gives_the_same(prepared, store):
    expected = Batch.from_data_list(prepared[3:6])
    (subset,) = DataLoader(Subset(store, [3, 4, 5]), batch_size=3, collate_fn=Collate())
    (of_geometric,) = torch_geometric.loader.DataLoader(Subset(store, [3, 4, 5]), batch_size=3)
    (of_a_list,) = DataLoader(prepared[3:6], batch_size=3, collate_fn=Collate())
    for batch in (subset, of_geometric, of_a_list):
        assert_same_batch(batch, expected)


@pytest.mark.usefixtures("no_shape_checks")  # which look at one of every sequence's elements
def test_a_loader_makes_no_molecules(store, monkeypatch):
    monkeypatch.setattr(Column, "read", None)
    assert len(list(DataLoader(store, batch_size=4, shuffle=True, collate_fn=Collate()))) == 4


def test_a_distributed_sampler(store):
    seen = []
    for rank in range(2):
        sampler = DistributedSampler(store, num_replicas=2, rank=rank)
        for batch in DataLoader(store, batch_size=4, sampler=sampler, collate_fn=Collate()):
            seen += [data.smiles for data in batch.to_data_list()]
    assert set(seen) == {store[i].smiles for i in range(15)}


def test_a_transform_sees_batches_and_fields_are_left_out(prepared, store):
    def double(batch):
        batch.pos = 2 * batch.pos
        return batch

    collate = Collate(double, exclude_keys=["ir", "raman"])
    for molecules in (store, prepared):
        batch = next(iter(DataLoader(molecules, batch_size=4, collate_fn=collate)))
        assert "ir" not in batch
        assert torch.equal(batch.pos, 2 * Batch.from_data_list(prepared[:4]).pos)
    assert "double" in repr(collate)
    with pytest.raises(TypeError, match=r"Write \['ir'\]"):
        Collate(exclude_keys="ir")


class Prepared(ms.data.StoredDataset):
    raw_file_names = ()

    def molecules(self):
        for n in (3, 1, 4, 1, 5):
            yield Data(z=torch.full((n,), n), pos=torch.rand(n, 3))


@pytest.mark.usefixtures("no_shape_checks")
def test_a_stored_dataset(tmp_path, monkeypatch):
    def halve(data):
        data.pos = data.pos / 2
        return data

    dataset = Prepared(tmp_path)
    view = dataset[[4, 0, 2]]
    assert view.sizes.tolist() == [5, 3, 4]
    assert dataset.sizes.tolist() == [3, 1, 4, 1, 5]
    expected = Batch.from_data_list(list(view))
    (halved,) = DataLoader(Prepared(tmp_path, transform=halve)[[4, 0, 2]], batch_size=3, collate_fn=Collate())
    assert torch.equal(halved.pos, expected.pos / 2)
    monkeypatch.setattr(Column, "read", None)
    (batch,) = DataLoader(view, batch_size=3, collate_fn=Collate())
    assert_same_batch(batch, expected)


# Writing batches


def test_batches_and_molecules_can_be_written_in_turn(prepared, store, tmp_path):
    def parts():
        yield store.batch(range(4))
        yield store.batch([])
        yield Batch.from_data_list(prepared[4:5])
        yield store.batch(range(5, 15))

    assert write_store(tmp_path / "copy", parts()) == 15
    copy = MoleculeStore(tmp_path / "copy")
    copy.verify()
    assert_same_batch(copy.batch(INDICES), store.batch(INDICES))
    files = {path.name: path.read_bytes() for path in Path(store.directory).iterdir() if path.name != "index.json"}
    assert files == {path.name: path.read_bytes() for path in copy.directory.iterdir() if path.name != "index.json"}


def test_fields_missing_in_a_batch(tmp_path):
    molecules = [Data(pos=torch.rand(n, 3), charge=torch.rand(n)) for n in (1, 2, 3)]
    plain = [Data(pos=torch.rand(n, 3)) for n in (4, 5)]
    parts = [Batch.from_data_list(plain), *molecules, Batch.from_data_list(plain), Batch.from_data_list(molecules)]
    write_store(tmp_path / "store", parts)
    expected = [*plain, *molecules, *plain, *molecules]
    for found, data in zip(MoleculeStore(tmp_path / "store"), expected, strict=True):
        assert_equal(found.to_dict(), data.to_dict())


def test_a_batch_with_rules_of_its_own_is_taken_apart(tmp_path):
    molecules = [Data(pos=torch.rand(3, 3), face=torch.tensor([[0], [1], [2]])) for _ in range(3)]
    write_store(tmp_path / "store", [Batch.from_data_list(molecules)])
    for found, data in zip(MoleculeStore(tmp_path / "store"), molecules, strict=True):
        assert_equal(found.to_dict(), data.to_dict())


def test_batches_that_do_not_know_their_molecules_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must know its molecules"):
        write_store(tmp_path / "store", [Batch(pos=torch.rand(2, 3), batch=torch.tensor([0, 1]))])
    batch = Batch.from_data_list([Data(pos=torch.rand(2, 3))])
    batch.noise = torch.rand(2, 3)
    with pytest.raises(ValueError, match=r"Fields \['noise'\] were added"):
        write_store(tmp_path / "store", [batch])
