"""Batch samplers: a fixed number of molecules per batch, or a budget of atoms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from molspectra._validation import checked
from molspectra.data.store.epoch_sampler import EpochSampler, fill_empty


class ShardedBatchSampler(EpochSampler):
    """Batches of a fixed number of molecules, different on each rank: a `batch_sampler` for a `DataLoader`.

    In each step every rank takes the next `batch_size` molecules. The remainder, fewer than `world_size · batch_size`
    molecules, is divided as evenly as possible, so that all ranks have the same number of batches and every molecule
    comes once. The last batch may be smaller. Only if the remainder has fewer molecules than there are ranks, the ranks
    without any take one from the beginning, which then comes twice.

    Args:
        num_molecules: Molecules of the data set.
        batch_size: Molecules per batch, on each rank.
        shuffle: Give each epoch an order of its own, by `seed` and its number, otherwise 0, 1, 2, ...
        seed: The same on all ranks.
        drop_last: Leave out the remainder.
        rank: Number of this process. By default that of `torch.distributed`, 0 if it is not in use.
        world_size: Number of processes. By default likewise, 1.

    Raises:
        ValueError: a number is out of range, or `drop_last` leaves no batch.

    Example:
        >>> sampler = ShardedBatchSampler(10, batch_size=3, shuffle=False, rank=1, world_size=2)
        >>> list(sampler)
        [[3, 4, 5], [8, 9]]
    """

    @checked
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
        return np.concatenate([bounds, fill_empty(last, self.num_molecules)])

    def _settings(self) -> dict[str, Any]:
        names = ("num_molecules", "batch_size", "shuffle", "seed", "drop_last", "world_size")
        return {name: getattr(self, name) for name in names}


class AtomBudgetSampler(EpochSampler):
    """Batches of a limited number of atoms, different on each rank: a `batch_sampler` for a `DataLoader`.

    Molecules are taken in order as long as they fit. A molecule with more atoms than the budget is a batch of its own.
    To give all ranks the same number of batches, some of the batches with most molecules are halved, and every molecule
    comes once. Only if all batches are single molecules, some of them come twice.

    The sizes are known beforehand, so that nothing is read to make the batches. With `shuffle` the number of batches
    depends on the epoch.

    Args:
        sizes: Atoms of each molecule, (M,): :attr:`MoleculeStore.sizes`, :attr:`StoredDataset.sizes`.
        max_atoms: Atoms per batch, on each rank.
        shuffle: Give each epoch an order of its own, by `seed` and its number, otherwise 0, 1, 2, ...
        seed: The same on all ranks.
        rank: Number of this process. By default that of `torch.distributed`, 0 if it is not in use.
        world_size: Number of processes. By default likewise, 1.

    Raises:
        TypeError: sizes are not integers in one dimension.
        ValueError: a number is out of range.

    Example:
        >>> list(AtomBudgetSampler([3, 4, 9, 2, 2, 3], max_atoms=7, shuffle=False))
        [[0, 1], [2], [3, 4, 5]]
    """

    @checked
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
            # A binary search per batch, not a step per molecule.
            fitting = int(np.searchsorted(ends, before + self.max_atoms, side="right"))
            cuts.append(max(fitting, cuts[-1] + 1))
            before = int(ends[cuts[-1] - 1])
        bounds = np.stack([cuts[:-1], cuts[1:]], axis=1)
        return fill_empty(_halve_widest(bounds, -len(bounds) % self.world_size), self.num_molecules)

    def _settings(self) -> dict[str, Any]:
        names = ("num_molecules", "max_atoms", "shuffle", "seed", "world_size")
        return {**{name: getattr(self, name) for name in names}, "num_atoms": int(self.sizes.sum())}


def _halve_widest(bounds: np.ndarray, times: int) -> np.ndarray:
    """Halve the batch with most molecules, as often as given."""
    for _ in range(times):
        widest = int(np.argmax(bounds[:, 1] - bounds[:, 0]))
        start, stop = bounds[widest]
        middle = (start + stop) // 2
        bounds = np.insert(bounds, widest, [start, middle], axis=0)
        bounds[widest + 1] = middle, stop
    return bounds
