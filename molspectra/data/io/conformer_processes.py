"""Conformers of SMILES, made in this process or in several others."""

import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import torch

from molspectra.data.io.smiles_entries import Entry, ReadMolecule, SmilesEntry

_AHEAD = 16  # conformers in progress or waiting to be taken, per process


def read_entries(entries: Iterable[Entry], num_workers: int) -> Iterator[ReadMolecule]:
    """Make the conformers of entries that are SMILES, and yield all molecules in their order.

    Args:
        entries: Molecules, and SMILES without a conformer yet. They are taken one at a time, a little ahead.
        num_workers: Number of processes, started as `multiprocessing` does by default. 0 for this process alone.

    Yields:
        A molecule for each entry. Conformers do not depend on the number of processes.
    """
    if num_workers == 0:
        yield from (entry.read() if isinstance(entry, SmilesEntry) else entry for entry in entries)
        return
    # A process with one thread: many conformers are made at once, and threads of the parent do not survive a fork.
    pool = ProcessPoolExecutor(num_workers, initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[ReadMolecule | Future[bytes]] = deque()
    try:
        for entry in entries:
            waiting.append(pool.submit(_read, entry) if isinstance(entry, SmilesEntry) else entry)
            if len(waiting) > _AHEAD * num_workers:
                yield _taken(waiting.popleft())
        while waiting:
            yield _taken(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _read(entry: SmilesEntry) -> bytes:
    # As bytes: tensors would otherwise be passed through shared memory, a file descriptor for each.
    return pickle.dumps(entry.read())


def _taken(entry: ReadMolecule | Future[bytes]) -> ReadMolecule:
    return entry if isinstance(entry, ReadMolecule) else pickle.loads(entry.result())
