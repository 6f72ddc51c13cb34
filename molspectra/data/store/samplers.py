"""Which molecules make a batch: fixed numbers or a budget of atoms, dealt to the ranks of a training, resumable."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from molspectra import distributed


class _Plan(NamedTuple):
    """The batches of an epoch, those of all ranks."""

    order: np.ndarray | None
    """Molecules in the order in which they are taken, (M,); None for 0, 1, 2, ..."""
    bounds: np.ndarray
    """First place of each batch in that order, and the one after its last: (world_size · batches, 2)."""


class _EpochSampler(Sampler[list[int]], ABC):
    """What both samplers share: an order for each epoch, batches dealt in turn to the ranks, a place to go on from."""

    def __init__(self, num_molecules: int, shuffle: bool, seed: int, rank: int | None, world_size: int | None) -> None:
        if num_molecules < 1:
            raise ValueError(f"There must be molecules to draw from; got {num_molecules}.")
        if seed < 0:
            raise ValueError(f"seed must not be negative; got {seed}.")
        self.num_molecules = num_molecules
        self.shuffle = shuffle
        self.seed = seed
        self.rank, self.world_size = _place(rank, world_size)
        self.epoch = 0
        self._start = 0  # where iterating begins: after a training was resumed
        self._drawn = 0
        self._plan: _Plan | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the order: to be called before each epoch, with the same number on all ranks.

        The number of the epoch that was resumed leaves the place in it as it is.
        """
        if epoch < 0:
            raise ValueError(f"epoch must not be negative; got {epoch}.")
        if epoch != self.epoch:
            self.epoch, self._start, self._drawn, self._plan = epoch, 0, 0, None

    def state_dict(self, num_batches: int | None = None) -> dict[str, Any]:
        """Where the epoch stands, the same on all ranks; for :meth:`load_state_dict`.

        Args:
            num_batches: How many batches of this epoch have been trained on. By default as many as were drawn, which
                are the same for a loader without workers; workers draw ahead.
        """
        return {**self._settings(), "epoch": self.epoch, "batch": self._drawn if num_batches is None else num_batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another sampler stood: the next time it is iterated, the rest of its epoch comes.

        Raises:
            ValueError: that one had other molecules or settings, on which the order depends.
        """
        expected = self._settings()
        given = {name: state.get(name) for name in expected}
        if given != expected:
            raise ValueError(
                "A place in an epoch has a meaning only in the same order; expected the state of a sampler of "
                f"{expected}, got {given}. Make the sampler like the one that was saved, or begin a new epoch."
            )
        self.set_epoch(state["epoch"])
        self._start = self._drawn = int(state["batch"])

    def __len__(self) -> int:
        """Batches of this rank in the whole epoch, as many as any other rank has."""
        return len(self._planned().bounds) // self.world_size

    def __iter__(self) -> Iterator[list[int]]:
        plan = self._planned()
        own = plan.bounds[self.rank :: self.world_size]
        self._drawn = self._start
        for start, stop in own[self._start :]:
            self._drawn += 1
            places = np.arange(start, stop) if plan.order is None else plan.order[start:stop]
            yield places.tolist()
        self._start = 0

    def _planned(self) -> _Plan:
        if self._plan is None:
            order = None
            if self.shuffle:
                order = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_molecules)
            self._plan = _Plan(order, self._bounds(order))
        return self._plan

    @abstractmethod
    def _bounds(self, order: np.ndarray | None) -> np.ndarray:
        """The batches, one after the other in the order in which ranks take them; a multiple of their number."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What the batches depend on."""


class ShardedBatchSampler(_EpochSampler):
    """Batches of a fixed number of molecules, each rank its own: a `batch_sampler` for `torch.utils.data.DataLoader`.

    In each step the ranks take the next `batch_size` molecules each. What is left in the end, fewer than
    `world_size · batch_size`, is divided as evenly as possible, so that all ranks have equally many batches, the last
    of which may be smaller, and every molecule comes once. Only where fewer molecules are left than there are ranks,
    the ranks without take one from the beginning, which then comes twice.

    Args:
        num_molecules: Molecules of the data set.
        batch_size: Molecules a batch, on each rank.
        shuffle: Whether each epoch has an order of its own, by `seed` and its number; else 0, 1, 2, ...
        seed: The same on all ranks.
        drop_last: Leave out what does not fill a batch on all ranks.
        rank: Which of the processes this is; by default as in `torch.distributed`, 0 where that is not in use.
        world_size: How many there are; by default likewise, 1.

    Raises:
        ValueError: a number is out of range, or with `drop_last` no batch is left.

    Example:
        >>> sampler = ShardedBatchSampler(10, batch_size=3, shuffle=False, rank=1, world_size=2)
        >>> list(sampler)
        [[3, 4, 5], [8, 9]]
    """

    def __init__(
        self,
        num_molecules: int,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(num_molecules, shuffle, seed, rank, world_size)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
        if drop_last and num_molecules < batch_size * self.world_size:
            raise ValueError(
                f"{num_molecules} molecules do not fill a batch of {batch_size} on {self.world_size} ranks, so that "
                "drop_last leaves none. Take smaller batches, or drop_last=False."
            )
        self.batch_size = batch_size
        self.drop_last = drop_last

    def _bounds(self, order: np.ndarray | None) -> np.ndarray:
        full = self.num_molecules // (self.batch_size * self.world_size) * self.world_size
        starts = np.arange(full) * self.batch_size
        bounds = np.stack([starts, starts + self.batch_size], axis=1)
        rest = self.num_molecules - full * self.batch_size
        if rest == 0 or self.drop_last:
            return bounds
        cuts = self.num_molecules - rest + np.arange(self.world_size + 1) * rest // self.world_size
        last = np.stack([cuts[:-1], cuts[1:]], axis=1)
        return np.concatenate([bounds, _without_empty(last, self.num_molecules)])

    def _settings(self) -> dict[str, Any]:
        names = ("num_molecules", "batch_size", "shuffle", "seed", "drop_last", "world_size")
        return {name: getattr(self, name) for name in names}


class AtomBudgetSampler(_EpochSampler):
    """Batches of at most so many atoms, each rank its own: a `batch_sampler` for `torch.utils.data.DataLoader`.

    Molecules are taken in order for as long as they fit. A molecule that alone has more atoms than the budget is a
    batch of its own. To give all ranks equally many batches, some of those with most molecules are halved; every
    molecule comes once. Only where all batches are single molecules, some of them come twice.

    The sizes are known beforehand, so that nothing is read to make the batches; how many there are depends on the epoch
    if it is shuffled.

    Args:
        sizes: Atoms of each molecule, (M,): :attr:`MoleculeStore.sizes`, :attr:`StoredDataset.sizes`.
        max_atoms: Atoms a batch, on each rank.
        shuffle: Whether each epoch has an order of its own, by `seed` and its number; else 0, 1, 2, ...
        seed: The same on all ranks.
        rank: Which of the processes this is; by default as in `torch.distributed`, 0 where that is not in use.
        world_size: How many there are; by default likewise, 1.

    Raises:
        TypeError: sizes are not whole numbers in one dimension.
        ValueError: a number is out of range.

    Example:
        >>> list(AtomBudgetSampler([3, 4, 9, 2, 2, 3], max_atoms=7, shuffle=False))
        [[0, 1], [2], [3, 4, 5]]
    """

    def __init__(
        self,
        sizes: Sequence[int] | np.ndarray | Tensor,
        max_atoms: int,
        shuffle: bool = True,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        found = np.asarray(sizes.cpu() if isinstance(sizes, Tensor) else sizes)
        if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise TypeError(
                f"sizes must be the numbers of atoms of all molecules, (M,); got {found.dtype} of shape {found.shape}."
            )
        super().__init__(len(found), shuffle, seed, rank, world_size)
        if max_atoms < 1:
            raise ValueError(f"max_atoms must be at least 1; got {max_atoms}.")
        if found.min() < 0:
            raise ValueError(f"sizes must not be negative; got {found.min()}.")
        self.sizes = found
        self.max_atoms = max_atoms

    def _bounds(self, order: np.ndarray | None) -> np.ndarray:
        ends = np.cumsum(self.sizes if order is None else self.sizes[order], dtype=np.int64)
        cuts, before = [0], 0
        while cuts[-1] < self.num_molecules:
            fitting = int(np.searchsorted(ends, before + self.max_atoms, side="right"))
            cuts.append(max(fitting, cuts[-1] + 1))
            before = int(ends[cuts[-1] - 1])
        bounds = np.stack([cuts[:-1], cuts[1:]], axis=1)
        return _without_empty(_halved(bounds, -len(bounds) % self.world_size), self.num_molecules)

    def _settings(self) -> dict[str, Any]:
        names = ("num_molecules", "max_atoms", "shuffle", "seed", "world_size")
        return {**{name: getattr(self, name) for name in names}, "num_atoms": int(self.sizes.sum())}


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and number of ranks, as given or as :mod:`molspectra.distributed` has them."""
    if (rank is None) != (world_size is None):
        raise ValueError(f"rank and world_size go together; got {rank} and {world_size}. Give both, or none.")
    if rank is None or world_size is None:
        return distributed.rank(), distributed.world_size()
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must lie in 0..{world_size - 1}, below world_size; got {rank}.")
    return rank, world_size


def _halved(bounds: np.ndarray, times: int) -> np.ndarray:
    """So many batches more, by halving the one with most molecules each time."""
    for _ in range(times):
        widest = int(np.argmax(bounds[:, 1] - bounds[:, 0]))
        start, stop = bounds[widest]
        middle = (start + stop) // 2
        bounds = np.insert(bounds, widest, [start, middle], axis=0)
        bounds[widest + 1] = middle, stop
    return bounds


def _without_empty(bounds: np.ndarray, num_molecules: int) -> np.ndarray:
    """Give a molecule to batches that have none: one from the beginning, which then comes twice."""
    empty = np.flatnonzero(bounds[:, 0] == bounds[:, 1])
    first = np.arange(len(empty)) % num_molecules
    bounds[empty] = np.stack([first, first + 1], axis=1)
    return bounds
