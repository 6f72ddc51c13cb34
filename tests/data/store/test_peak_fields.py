"""Lists of peaks of different lengths in one batch, from lists of molecules and from stores."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.utils.data import DataLoader
from torch_geometric.data import Batch, Data

from molspectra.data import Collate, MoleculeStore, write_store


def molecule(peaks: torch.Tensor | None = None, **fields) -> Data:
    data = Data(z=torch.tensor([6, 8]), pos=torch.rand(2, 3), **fields)
    if peaks is not None:
        data.msms = peaks
    return data


def padded(lists: list[torch.Tensor | None], width: int) -> torch.Tensor:
    longest = max(peaks.shape[1] for peaks in lists if peaks is not None)
    rows = torch.full((len(lists), longest, width), torch.nan)
    for row, peaks in zip(rows, lists, strict=True):
        if peaks is not None:
            row[: peaks.shape[1]] = peaks[0]
    return rows


def assert_equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


LISTS = st.lists(st.none() | st.integers(0, 4), min_size=1, max_size=6).filter(lambda ks: any(k for k in ks))


@settings(max_examples=30, deadline=None)
@given(lengths=LISTS, width=st.integers(2, 3))
def test_collate_and_store_pad_alike(lengths, width, tmp_path_factory):
    lists = [None if k is None else torch.rand(1, k, width) for k in lengths]
    molecules = [molecule(peaks) for peaks in lists]
    expected = padded(lists, width)
    collated = Collate()(molecules)
    assert_equal(collated.msms, expected)
    assert [data.get("msms") is None for data in molecules] == [k is None for k in lengths]  # they are not changed
    folder = tmp_path_factory.mktemp("store")
    write_store(folder / "one", molecules)
    write_store(folder / "batches", [collated])
    store = MoleculeStore(folder / "one")
    for found, peaks in zip(store, lists, strict=True):
        if peaks is None:
            assert "msms" not in found
        else:
            assert_equal(found.msms, peaks)
    numbers = list(range(len(lists)))
    for order in (numbers, numbers[::-1]):
        assert_equal(store.batch(order).msms, padded([lists[i] for i in order], width))
    assert_equal(MoleculeStore(folder / "batches").batch(numbers).msms, expected)
    again = Collate()(store.batch(numbers).to_data_list())
    assert_equal(again.msms, expected)


def test_padded_batches_of_different_width_make_one_store(tmp_path):
    lists = [torch.rand(1, k, 2) for k in (3, 1, 5, 2)]
    batches = [Collate()([molecule(p) for p in lists[:2]]), Collate()([molecule(p) for p in lists[2:]])]
    write_store(tmp_path / "store", [*batches, molecule(lists[0])])
    store = MoleculeStore(tmp_path / "store")
    store.verify()
    loader = DataLoader(store, batch_size=5, collate_fn=Collate())
    assert_equal(next(iter(loader)).msms, padded([*lists, lists[0]], 2))


def test_fields_of_three_axes_keep_their_rows(tmp_path):
    """Tensors per atom, and polarizabilities, (1, 3, 3), are no lists of peaks unless their second axis differs."""
    ragged = [Data(pos=torch.rand(n, 3), shielding=torch.rand(n, 3, 3), alpha=torch.rand(1, 3, 3)) for n in (1, 2, 1)]
    write_store(tmp_path / "store", ragged)
    batch = MoleculeStore(tmp_path / "store").batch([0, 1, 2])
    expected = Batch.from_data_list(ragged)
    assert_equal(batch.shielding, expected.shielding)
    assert_equal(batch.alpha, expected.alpha)
    other = Data(pos=torch.rand(1, 3), shielding=torch.rand(1, 2, 3), alpha=torch.rand(1, 3, 3))
    with pytest.raises(ValueError, match="'shielding' of molecule 3 .*Make them alike"):
        write_store(tmp_path / "store", [*ragged, other])


@pytest.mark.parametrize("other", [torch.rand(1, 3, 4), torch.rand(1, 3, 2).half(), torch.rand(3, 2)])
def test_lists_of_another_form_are_refused(tmp_path, other):
    with pytest.raises((ValueError, TypeError), match=r"'msms' of molecule 2|msms"):
        write_store(tmp_path / "store", [molecule(torch.rand(1, k, 2)) for k in (2, 3)] + [molecule(other)])
