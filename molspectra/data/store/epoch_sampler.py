"""Base of the samplers: epochs of batches that are shared out to ranks and can be resumed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from molspectra import distributed


class _Plan(NamedTuple):
    """Batches of an epoch for all ranks."""

    order: np.ndarray | None
    """Order in which molecules are taken, (M,), or None for 0, 1, 2, ..."""
    bounds: np.ndarray
    """First place of each batch in that order, and the place after its last: (world_size · batches, 2)."""


class EpochSampler(Sampler[list[int]], ABC):
    """Sampler of batches, in an order for each epoch. Batches go to the ranks in turn, and an epoch can be resumed.

    Args:
        num_molecules: Molecules of the data set.
        shuffle: Give each epoch an order of its own, by `seed` and its number, otherwise 0, 1, 2, ...
        seed: The same on all ranks.
        rank: Number of this process. By default that of `torch.distributed`, 0 if it is not in use.
        world_size: Number of processes. By default likewise, 1.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, num_molecules: int, shuffle: bool, seed: int, rank: int | None, world_size: int | None) -> None:
        if num_molecules < 1:
            raise ValueError(f"There must be molecules to draw from, num_molecules >= 1; got {num_molecules}.")
        if seed < 0:
            raise ValueError(f"seed must not be negative; got {seed}.")
        self.num_molecules = num_molecules
        self.shuffle = shuffle
        self.seed = seed
        self.rank, self.world_size = _place(rank, world_size)
        self.epoch = 0
        self._start = 0  # first batch of the next iteration: above 0 when a training is resumed
        self._drawn = 0
        self._plan: _Plan | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, before each epoch and with the same number on all ranks.

        Setting the number of the resumed epoch again keeps the place in it.
        """
        if epoch < 0:
            raise ValueError(f"epoch must not be negative; got {epoch}.")
        if epoch != self.epoch:
            self.epoch, self._start, self._drawn, self._plan = epoch, 0, 0, None

    def state_dict(self, num_batches: int | None = None) -> dict[str, Any]:
        """Return the place in the epoch, the same on all ranks, for :meth:`load_state_dict`.

        Args:
            num_batches: Number of batches of this epoch that have been trained on. By default the number drawn, which
                is the same for a loader without workers. Workers draw ahead.
        """
        return {**self._settings(), "epoch": self.epoch, "batch": self._drawn if num_batches is None else num_batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at the place of another sampler: the next iteration yields the rest of its epoch.

        Raises:
            ValueError: that sampler had other molecules or settings, on which the order depends.
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

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in {**self._settings(), "rank": self.rank}.items())
        return f"{type(self).__name__}({shown})"

    def __len__(self) -> int:
        """Return the number of this rank's batches in the whole epoch, which is the same on all ranks."""
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
                # All ranks draw the same order and take their own batches of it, without communication.
                order = np.random.default_rng((self.seed, self.epoch)).permutation(self.num_molecules)
            self._plan = _Plan(order, self._bounds(order))
        return self._plan

    @abstractmethod
    def _bounds(self, order: np.ndarray | None) -> np.ndarray:
        """Return the batches in the order in which ranks take them, a multiple of `world_size` in number."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Return everything that the batches depend on."""


def fill_empty(bounds: np.ndarray, num_molecules: int) -> np.ndarray:
    """Give empty batches one molecule each from the beginning, which then comes twice."""
    empty = np.flatnonzero(bounds[:, 0] == bounds[:, 1])
    first = np.arange(len(empty)) % num_molecules
    bounds[empty] = np.stack([first, first + 1], axis=1)
    return bounds


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return rank and number of ranks, as given or as :mod:`molspectra.distributed` knows them."""
    if (rank is None) != (world_size is None):
        raise ValueError(f"rank and world_size go together; got {rank} and {world_size}. Give both, or none.")
    if rank is None or world_size is None:
        return distributed.rank(), distributed.world_size()
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must lie in 0..{world_size - 1}, below world_size; got {rank}.")
    return rank, world_size
