import json
import pickle

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from molspectra.data.store.molecule_store import MoleculeStore
from molspectra.data.store.writer import write_store

DTYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.bool),
    *(torch.uint8, torch.int8, torch.int32, torch.int64),
)


def random_molecule(n, **fields):
    """A molecule with atoms, bonds and a spectrum."""
    bonds = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    return Data(
        z=torch.randint(1, 10, (n,)),
        pos=torch.randn(n, 3, dtype=torch.float32),
        bond_index=bonds,
        bond_order=torch.ones(n - 1),
        ir=torch.rand(1, 50),
        energy=torch.randn(1, dtype=torch.float64),
        smiles="C" * n + "é",
        **fields,
    )


def assert_same(found, expected):
    """Two molecules have the same fields in the same order, bit by bit."""
    found, expected = found.to_dict(), expected.to_dict()
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert type(found[name]) is type(value), name
        if isinstance(value, torch.Tensor):
            assert found[name].dtype == value.dtype
            torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True)
        else:
            assert found[name] == value


def test_molecules_come_back_as_they_were(tmp_path):
    molecules = [random_molecule(n) for n in (1, 5, 2, 9)]
    assert write_store(tmp_path / "store", iter(molecules)) == 4
    store = MoleculeStore(tmp_path / "store")
    assert len(store) == 4
    assert store.fields == tuple(molecules[0].to_dict())
    for found, expected in zip(store, molecules, strict=True):
        assert_same(found, expected)
    assert_same(store[-1], molecules[3])
    for found, expected in zip(store[1:3], molecules[1:3], strict=True):
        assert_same(found, expected)
    store.verify()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(tmp_path, dtype):
    molecules = [Data(z=torch.randint(0, 2, (n, 2)).to(dtype)) for n in (3, 1, 0)]
    write_store(tmp_path / "store", molecules)
    for found, expected in zip(MoleculeStore(tmp_path / "store"), molecules, strict=True):
        assert_same(found, expected)


def test_every_kind_of_field(tmp_path):
    molecules = [
        Data(
            scalar=torch.tensor(1.5 * i),
            flag=bool(i % 2),
            count=i - 2**40,
            number=i / 3,
            text="" if i == 1 else "x" * i,
            empty=torch.empty(i, 0),
            mask_index=torch.arange(i),
            far_index=torch.arange(6 * i).reshape(2, 3, i),
            view=torch.randn(4, i + 1).t(),
            column=torch.randn(i, 3)[:, 1],
            column_index=torch.arange(3 * i).reshape(i, 3)[:, 1],
            num_nodes=i + 1,
        )
        for i in range(4)
    ]
    write_store(tmp_path / "store", molecules)
    for found, expected in zip(MoleculeStore(tmp_path / "store"), molecules, strict=True):
        assert_same(found, expected)


def test_fields_missing_in_some_molecules_come_back_missing(tmp_path):
    molecules = [random_molecule(n) for n in (2, 3, 4, 5, 6)]
    molecules[2].late = torch.ones(2, 7)
    molecules[3].late = torch.empty(0, 7)
    for index in (0, 3):
        del molecules[index].ir
    del molecules[4].smiles
    write_store(tmp_path / "store", molecules)
    for found, expected in zip(MoleculeStore(tmp_path / "store"), molecules, strict=True):
        assert set(found.to_dict()) == set(expected.to_dict())
        for name, value in expected.to_dict().items():
            assert torch.equal(found[name], value) if isinstance(value, torch.Tensor) else found[name] == value


def test_what_is_changed_does_not_change_the_store(tmp_path):
    molecule = random_molecule(3)
    write_store(tmp_path / "store", [molecule])
    store = MoleculeStore(tmp_path / "store")
    store[0].pos.zero_()
    assert_same(store[0], molecule)


def test_workers_of_a_loader_read_it(tmp_path):
    molecules = [random_molecule(n) for n in (3, 4, 5)]
    write_store(tmp_path / "store", molecules)
    store = MoleculeStore(tmp_path / "store")
    _ = store[0]
    sent = pickle.dumps(store)
    assert len(sent) < 10_000
    assert_same(pickle.loads(sent)[1], molecules[1])
    (batch,) = DataLoader(store, batch_size=3, num_workers=1)
    expected = Batch.from_data_list(molecules)
    for name in ("pos", "bond_index", "ir", "batch"):
        assert torch.equal(batch[name], expected[name])


def test_a_store_takes_the_place_of_an_older_one(tmp_path):
    write_store(tmp_path / "store", [random_molecule(3), random_molecule(4)])
    molecule = Data(z=torch.tensor([6]))
    write_store(tmp_path / "store", [molecule])
    (found,) = MoleculeStore(tmp_path / "store")
    assert_same(found, molecule)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_an_interrupted_run_leaves_nothing_and_keeps_what_was_there(tmp_path):
    def molecules():
        yield random_molecule(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "store", molecules())
    assert list(tmp_path.iterdir()) == []
    write_store(tmp_path / "store", [random_molecule(4)])
    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "store", molecules())
    assert len(MoleculeStore(tmp_path / "store")[0].z) == 4


def test_one_molecule_is_held_at_a_time(tmp_path):
    class Held(Data):
        alive = 0

        def __init__(self, **fields):
            super().__init__(**fields)
            Held.alive += 1

        def __del__(self):
            Held.alive -= 1

    counts = []

    def molecules():
        for _ in range(50):
            yield Held(z=torch.ones(3))
            counts.append(Held.alive)

    write_store(tmp_path / "store", molecules())
    assert max(counts) <= 2


def test_an_empty_store(tmp_path):
    assert write_store(tmp_path / "store", []) == 0
    store = MoleculeStore(tmp_path / "store")
    store.verify()
    assert list(store) == []
    with pytest.raises(IndexError, match="got 0"):
        store[0]


@pytest.mark.parametrize("index", [2, -3])
def test_an_index_beyond_the_end_is_refused(tmp_path, index):
    write_store(tmp_path / "store", [random_molecule(2), random_molecule(3)])
    with pytest.raises(IndexError, match=f"0..1.*got {index}"):
        MoleculeStore(tmp_path / "store")[index]


def test_a_truncated_file_is_refused_by_name_and_sizes(tmp_path):
    write_store(tmp_path / "store", [random_molecule(3)])
    path = next((tmp_path / "store").glob("*_pos.data"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"_pos\.data has 35 bytes; expected 36"):
        MoleculeStore(tmp_path / "store")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"_pos\.data is missing; expected 36 bytes"):
        MoleculeStore(tmp_path / "store")


def test_a_changed_byte_is_found(tmp_path):
    write_store(tmp_path / "store", [random_molecule(3)])
    path = next((tmp_path / "store").glob("*_ir.data"))
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"_ir\.data is damaged"):
        MoleculeStore(tmp_path / "store").verify()


def test_a_store_without_index_or_with_another_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished store"):
        MoleculeStore(tmp_path)
    write_store(tmp_path / "store", [random_molecule(3)])
    path = tmp_path / "store" / "index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        MoleculeStore(tmp_path / "store")
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match=r"index\.json is damaged"):
        MoleculeStore(tmp_path / "store")


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        (Data(pos=torch.rand(2, 4)), ValueError, r"'pos' of molecule 1 is .*shape \(4,\).*\(3,\)"),
        (Data(pos=torch.rand(2, 3).half()), TypeError, "float16.*float"),
        (Data(pos="far"), TypeError, "text"),
        (Data(pos=[1.0, 2.0]), TypeError, "'pos' is a list"),
        (Data(**{"a/b": torch.rand(2)}), ValueError, "'a/b'"),
        ({"pos": torch.rand(2, 3)}, TypeError, "got dict for molecule 1"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, second, error, message):
    with pytest.raises(error, match=message):
        write_store(tmp_path / "store", [Data(pos=torch.rand(2, 3)), second])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [np.int8, np.int16, lambda index: torch.tensor(index, dtype=torch.int8)])
def test_small_integers_do_not_overflow(tmp_path, make):
    write_store(tmp_path / "store", [Data(z=torch.full((100,), index)) for index in range(50)])
    store = MoleculeStore(tmp_path / "store")
    assert [int(store[make(index)].z[0]) for index in range(50)] == list(range(50))
