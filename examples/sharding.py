"""A stand-in for `molspectra.data.ShardedBatchSampler`, with the part of its interface that example 09 uses."""

from collections.abc import Iterator

import torch

import molspectra as ms


class ShardedBatchSampler:
    """Batches of molecules, each process its own; the last of an epoch may be smaller, on all processes alike."""

    def __init__(self, num_molecules: int, batch_size: int, shuffle: bool = True, seed: int = 0) -> None:
        self.num_molecules, self.batch_size, self.shuffle, self.seed = num_molecules, batch_size, shuffle, seed
        self.rank, self.world_size = ms.distributed.rank(), ms.distributed.world_size()
        self.epoch = self.start = self.drawn = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; the number of the epoch that was resumed leaves the place in it as it is."""
        if epoch != self.epoch:
            self.epoch, self.start, self.drawn = epoch, 0, 0

    def state_dict(self) -> dict[str, int]:
        """Where the epoch stands."""
        return {"epoch": self.epoch, "batch": self.drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next time it is iterated, the rest of that epoch comes."""
        self.epoch, self.start, self.drawn = state["epoch"], state["batch"], state["batch"]

    def __len__(self) -> int:
        """Batches of this process in an epoch."""
        return -(-self.num_molecules // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.arange(self.num_molecules)
        if self.shuffle:
            draws = torch.Generator().manual_seed(self.seed + 1000 * self.epoch)
            order = torch.randperm(self.num_molecules, generator=draws)
        batches = order.split(self.batch_size * self.world_size)
        self.drawn = self.start
        for of_all in batches[self.start :]:
            self.drawn += 1
            yield of_all[self.rank :: self.world_size].tolist() or [0]
        self.start = 0
