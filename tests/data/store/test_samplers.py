import itertools
import json

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.loader import DynamicBatchSampler

from molspectra.data import AtomBudgetSampler, Collate, MoleculeStore, ShardedBatchSampler, write_store

SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=40)
WORLD = st.integers(1, 5)


def of_all_ranks(make, world_size, epoch=0):
    """Batches of each rank."""
    samplers = [make(rank=rank, world_size=world_size) for rank in range(world_size)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    batches = [list(sampler) for sampler in samplers]
    assert {len(sampler) for sampler in samplers} == {len(own) for own in batches}, "as many on all ranks"
    assert all(batch for own in batches for batch in own), "none is empty"
    return batches


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), WORLD, st.booleans(), st.booleans(), st.integers(0, 3))
def test_fixed_batches_hold_every_molecule_once(number, batch_size, world_size, shuffle, drop_last, epoch):
    def make(rank, world_size):
        return ShardedBatchSampler(number, batch_size, shuffle, 7, drop_last, rank, world_size)

    step = batch_size * world_size
    if drop_last and number < step:
        with pytest.raises(ValueError, match="drop_last leaves none"):
            make(0, world_size)
        return
    batches = of_all_ranks(make, world_size, epoch)
    drawn = flat(flat(batches))
    assert all(len(batch) == batch_size for own in batches for batch in own[:-1])
    assert all(len(batch) <= batch_size for own in batches for batch in own)
    if drop_last:
        assert len(set(drawn)) == len(drawn) == number // step * step
        return
    assert set(drawn) == set(range(number))
    rest = number % step
    assert len(drawn) - number == (max(0, world_size - rest) if rest else 0), "twice only where ranks would go without"
    sizes = [len(own[-1]) for own in batches]
    assert max(sizes) - min(sizes) <= 1
    if not shuffle and rest == 0:
        # The union of the ranks' batches of a step are the next molecules, in order.
        assert flat(flat(zip(*batches, strict=True))) == list(range(number))


@settings(max_examples=100, deadline=None)
@given(SIZES, st.integers(1, 30), WORLD, st.booleans(), st.integers(0, 3))
def test_batches_by_budget_hold_every_molecule_once(sizes, max_atoms, world_size, shuffle, epoch):
    def make(rank, world_size):
        return AtomBudgetSampler(sizes, max_atoms, shuffle, 7, rank, world_size)

    batches = of_all_ranks(make, world_size, epoch)
    drawn = flat(flat(batches))
    assert set(drawn) == set(range(len(sizes)))
    number = sum(map(len, batches))
    if len(drawn) > len(sizes):  # all are single molecules, and then not one more than needed
        assert all(len(batch) == 1 for own in batches for batch in own)
        assert len(drawn) - len(sizes) < world_size
    for batch in flat(batches):
        assert sum(sizes[i] for i in batch) <= max_atoms or len(batch) == 1
    # As one after the other fits, with fewer than world_size halved.
    greedy = flat(of_all_ranks(make, 1, epoch))
    assert len(greedy) <= number < len(greedy) + world_size
    for batch, following in itertools.pairwise(greedy):
        assert sum(sizes[i] for i in batch) + sizes[following[0]] > max_atoms


def test_the_budget_is_that_of_torch_geometric():
    sizes = torch.randint(1, 20, (200,)).tolist()
    molecules = [Data(pos=torch.zeros(n, 3)) for n in sizes]
    expected = list(iter(DynamicBatchSampler(molecules, max_num=50)))  # it has no length
    assert list(AtomBudgetSampler(sizes, 50, shuffle=False)) == expected


@pytest.mark.parametrize("make", [np.array, torch.tensor, lambda sizes: np.array(sizes, dtype=np.uint8)])
def test_sizes_of_any_type(make):
    sizes = [200, 100, 100, 50]
    assert list(AtomBudgetSampler(make(sizes), 300, shuffle=False)) == [[0, 1], [2, 3]]


def samplers(**options):
    sizes = np.random.default_rng(0).integers(1, 20, 100)
    return [ShardedBatchSampler(100, 7, **options), AtomBudgetSampler(sizes, 60, **options)]


def test_epochs_and_seeds_have_orders_of_their_own():
    for one, same, other in zip(samplers(seed=1), samplers(seed=1), samplers(seed=2), strict=True):
        orders = []
        for epoch in (0, 1, 2):
            for sampler in (one, same, other):
                sampler.set_epoch(epoch)
            orders += [list(one), list(other)]
            assert list(one) == list(same)
        assert len({str(order) for order in orders}) == 6
        assert flat(orders[0]) != list(range(100))


def test_ranks_come_from_torch_distributed(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda group: 2)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda group: 3)
    for sampler, expected in zip(samplers(), samplers(rank=2, world_size=3), strict=True):
        assert list(sampler) == list(expected)
        assert len(sampler) < len(samplers(rank=0, world_size=1)[0])


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("which", [0, 1])
def test_an_epoch_is_gone_on_with(which, world_size):
    for rank in range(world_size):
        expected = samplers(rank=rank, world_size=world_size)[which]
        expected.set_epoch(3)
        whole = list(expected)
        for done in (0, 1, 3, len(whole)):
            sampler = samplers(rank=rank, world_size=world_size)[which]
            sampler.set_epoch(3)
            began = list(itertools.islice(sampler, done))
            state = json.loads(json.dumps(sampler.state_dict()))
            assert state == sampler.state_dict(num_batches=done)
            resumed = samplers(rank=rank, world_size=world_size)[which]
            resumed.load_state_dict(state)
            resumed.set_epoch(3)  # as a loop over epochs from the resumed one on does
            assert resumed.state_dict() == state
            assert len(resumed) == len(whole)
            assert began + list(resumed) == whole
            assert resumed.state_dict()["batch"] == len(whole)
            assert list(resumed) == whole  # once more, from the start
            resumed.set_epoch(4)
            expected.set_epoch(4)
            assert list(resumed) == list(expected)
            expected.set_epoch(3)


def test_a_state_of_other_batches_is_refused():
    state = ShardedBatchSampler(100, 7).state_dict()
    for other in (ShardedBatchSampler(101, 7), ShardedBatchSampler(100, 7, seed=1), ShardedBatchSampler(100, 8)):
        with pytest.raises(ValueError, match="only in the same order"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="only in the same order"):
        ShardedBatchSampler(100, 7, rank=0, world_size=2).load_state_dict(state)
    with pytest.raises(ValueError, match="only in the same order"):
        AtomBudgetSampler([1, 2, 3], 5).load_state_dict(AtomBudgetSampler([1, 2, 4], 5).state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ShardedBatchSampler(0, 1), "There must be molecules"),
        (lambda: ShardedBatchSampler(3, 0), "batch_size must be at least 1; got 0"),
        (lambda: ShardedBatchSampler(3, 1, seed=-1), "seed must not be negative"),
        (lambda: ShardedBatchSampler(3, 1, rank=1), "rank and world_size go together"),
        (lambda: ShardedBatchSampler(3, 1, rank=2, world_size=2), r"rank must lie in 0\.\.1"),
        (lambda: ShardedBatchSampler(3, 1).set_epoch(-1), "epoch must not be negative"),
        (lambda: AtomBudgetSampler([], 1), "There must be molecules"),
        (lambda: AtomBudgetSampler([1], 0), "max_atoms must be at least 1"),
        (lambda: AtomBudgetSampler([1, -1], 3), "sizes must not be negative"),
    ],
)
def test_wrong_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("sizes", [torch.rand(3), np.ones((2, 2), dtype=np.int64)])
def test_sizes_that_are_none_are_refused(sizes):
    with pytest.raises(TypeError, match="numbers of atoms of all molecules"):
        AtomBudgetSampler(sizes, 3)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loaders_take_them(tmp_path, num_workers):
    sizes = torch.randint(1, 9, (50,)).tolist()
    write_store(tmp_path / "store", [Data(pos=torch.full((n, 3), float(i)), y=i) for i, n in enumerate(sizes)])
    store = MoleculeStore(tmp_path / "store")
    seen = []
    for rank in range(2):
        sampler = AtomBudgetSampler(store.sizes, 20, rank=rank, world_size=2)
        loader = DataLoader(store, batch_sampler=sampler, collate_fn=Collate(), num_workers=num_workers)
        assert len(loader) == len(sampler)
        for batch in loader:
            assert batch.num_nodes <= 20
            seen += batch.y.tolist()
    assert sorted(seen) == list(range(50))


def test_batches_trained_on_are_told_where_workers_draw_ahead(tmp_path):
    write_store(tmp_path / "store", [Data(pos=torch.zeros(2, 3), y=i) for i in range(60)])
    store = MoleculeStore(tmp_path / "store")

    def load(sampler):
        return DataLoader(store, batch_sampler=sampler, collate_fn=Collate(), num_workers=1)

    sampler = ShardedBatchSampler(60, 4)
    whole = [batch.y.tolist() for batch in load(sampler)]
    began = iter(load(sampler))
    done = [next(began).y.tolist() for _ in range(5)]
    assert sampler.state_dict()["batch"] > 5
    resumed = ShardedBatchSampler(60, 4)
    resumed.load_state_dict(sampler.state_dict(num_batches=5))
    assert done + [batch.y.tolist() for batch in load(resumed)] == whole
