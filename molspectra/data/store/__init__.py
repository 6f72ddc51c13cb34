"""Molecules on disk as memory-mapped columns: writing them, and batches cut from them."""

from molspectra.data.store.collate import Collate
from molspectra.data.store.samplers import AtomBudgetSampler, ShardedBatchSampler
from molspectra.data.store.store import MoleculeStore
from molspectra.data.store.writer import write_store

__all__ = ["AtomBudgetSampler", "Collate", "MoleculeStore", "ShardedBatchSampler", "write_store"]
