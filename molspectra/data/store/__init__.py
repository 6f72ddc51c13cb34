"""Stores: molecules on disk as memory-mapped columns, their writer, and batches cut from them."""

from molspectra.data.store.collate import Collate
from molspectra.data.store.molecule_store import MoleculeStore
from molspectra.data.store.samplers import AtomBudgetSampler, ShardedBatchSampler
from molspectra.data.store.writer import write_store

__all__ = ["AtomBudgetSampler", "Collate", "MoleculeStore", "ShardedBatchSampler", "write_store"]


def __dir__() -> list[str]:
    return __all__
