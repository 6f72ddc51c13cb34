"""Conformers of many SMILES, written into a molecule store."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch_geometric.data import Batch, Data

from molspectra._validation import check_sizes, checked
from molspectra.data.io.conformer_processes import read_entries
from molspectra.data.io.smiles_entries import smiles_entry
from molspectra.data.store import MoleculeStore, write_store

_REQUEST, _FAILED = "request.json", "failed.json"


class Conformers(NamedTuple):
    """Conformers that were made, and the SMILES that have none."""

    store: MoleculeStore
    """The molecules in the order of their SMILES, without those that failed."""
    failed: dict[int, str]
    """Place of each SMILES without a conformer → the reason."""


@checked
def conformers(
    smiles: Sequence[str], directory: str | Path, *, seed: int = 0, num_workers: int = 0, chunk_size: int = 1000
) -> Conformers:
    """Make one checked conformer of each SMILES, and write them into a :class:`MoleculeStore`.

    Each conformer is that of :func:`molspectra.data.from_smiles`. A chunk of them is written as soon as it is made, in
    a folder `<directory>.chunks` beside the store. An interrupted call goes on after the last finished chunk when it is
    repeated. A finished one returns at once. About 20 ms per molecule of QM9 and processor core.

    Args:
        smiles: The molecules. Repetitions are made again.
        directory: Folder of the store.
        seed: Seed of the conformers.
        num_workers: Processes that make conformers. 0 for this process alone. Conformers do not depend on it.
        chunk_size: Molecules in a chunk.

    Returns:
        The store and the failures. Its molecules have the fields of `from_smiles` and `smiles_row` (1,), the place of
        their SMILES in `smiles`.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: `smiles` is a single string, or an entry is no string.
        ValueError: `smiles` is empty, every one fails, or the folder holds conformers of other SMILES or another seed.

    Example:
        >>> made = conformers(["CCO", "c1ccccc1", "no molecule"], tmp_path / "store")
        >>> made.store[1].smiles, list(made.failed)
        ('c1ccccc1', [2])
    """
    check_sizes(chunk_size=chunk_size)
    if num_workers < 0:
        raise ValueError(f"num_workers must be at least 0; got {num_workers}.")
    if not len(smiles):
        raise ValueError("smiles must hold at least one SMILES; got none.")
    directory = Path(directory).absolute()
    chunks = directory.with_name(f"{directory.name}.chunks")
    request = _request(smiles, seed, chunk_size)
    if (directory / _REQUEST).is_file():
        _check_request(directory, request)
        return Conformers(MoleculeStore(directory), _failed(_read_json(directory / _FAILED)))
    if chunks.is_dir() and any(chunks.iterdir()):
        _check_request(chunks, request)
    elif directory.exists():
        _check_request(directory, request)  # refuses it: it is no finished store of this function
    else:
        chunks.mkdir(parents=True, exist_ok=True)
        (chunks / _REQUEST).write_text(json.dumps(request))

    starts = range(0, len(smiles), chunk_size)
    for start in starts:
        if not (chunks / f"{start}.json").is_file():
            _make_chunk(smiles[start : start + chunk_size], start, chunks, seed, num_workers)
    failed = {row: reason for start in starts for row, reason in _failed(_read_json(chunks / f"{start}.json")).items()}
    if len(failed) == len(smiles):
        raise ValueError(f"No SMILES has a conformer. The first fails because: {failed[0]}")
    write_store(directory, _stored(chunks, starts))
    (directory / _FAILED).write_text(json.dumps(failed))
    (directory / _REQUEST).write_text(json.dumps(request))  # last: a store with this file is whole
    shutil.rmtree(chunks)
    return Conformers(MoleculeStore(directory), failed)


def _make_chunk(smiles: Sequence[str], start: int, chunks: Path, seed: int, num_workers: int) -> None:
    """Write the conformers of a chunk, and then the list of those that failed, which marks it as finished."""
    failed: dict[int, str] = {}

    def molecules() -> Iterator[Data]:
        entries = (smiles_entry(text, seed) for text in smiles)
        for row, read in enumerate(read_entries(entries, num_workers), start):
            if read.molecule is None:
                failed[row] = read.problem or ""
                continue
            read.molecule.smiles_row = row
            yield read.molecule

    write_store(chunks / str(start), molecules())
    (chunks / f"{start}.json").write_text(json.dumps(failed))


def _stored(chunks: Path, starts: Sequence[int]) -> Iterator[Batch]:
    """Yield the molecules of all chunks, a chunk at a time."""
    for start in starts:
        store = MoleculeStore(chunks / str(start))
        if len(store):
            yield store.batch(slice(None))


def _request(smiles: Sequence[str], seed: int, chunk_size: int) -> dict[str, object]:
    digest = hashlib.sha256("\n".join(smiles).encode()).hexdigest()
    return {"smiles_sha256": digest, "seed": seed, "chunk_size": chunk_size}


def _check_request(folder: Path, request: dict[str, object]) -> None:
    """Refuse a folder that holds something else than what is asked for.

    Raises:
        ValueError: it does.
    """
    found = _read_json(folder / _REQUEST) if (folder / _REQUEST).is_file() else None
    if found != request:
        raise ValueError(
            f"{folder} must be absent or hold conformers of the same SMILES, seed and chunk_size; got {found}, "
            f"expected {request}. Choose another directory, or delete it."
        )


def _failed(stored: dict[str, Any]) -> dict[int, str]:
    return {int(row): reason for row, reason in stored.items()}


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))
