"""Checkpoints that survive a kill during writing: a file under its final name is complete."""

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import distributed


class Checkpoints:
    """Most recent checkpoints of a training, in a folder that all processes see.

    A file is written under a temporary name, flushed to the disk and then renamed, which is atomic. Its name ends with
    a checksum, which reveals later damage. Only one process writes.

    Args:
        folder: Folder of the checkpoints, created if absent.
        keep: Number of checkpoints to keep. With two or more, a damaged file costs only the steps since the one before.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, number: int, state: dict[str, Any]) -> None:
        """Write tensors and plain values as checkpoint `number`, which must increase, and delete old ones."""
        unfinished = self.folder / "unfinished.part"  # left by a killed process
        with unfinished.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.folder / f"{number:09d}-{checksum(unfinished)}.pt")
        flush(self.folder)
        for old in self._files()[self.keep :]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """Load the newest intact checkpoint on the CPU, the same in all processes, or return None."""
        newest: list[Path | None] = [None]
        if not distributed.is_initialized() or distributed.get_rank() == 0:
            newest = [next(filter(is_whole, self._files()), None)]
        if distributed.is_initialized():
            distributed.broadcast_object_list(newest)
        return None if newest[0] is None else torch.load(newest[0], map_location="cpu", weights_only=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.pt"), reverse=True)


def is_whole(path: Path) -> bool:
    """Check the content of a file against the checksum in its name, and warn on a mismatch."""
    whole = path.stem.split("-")[1] == checksum(path)
    if not whole:
        warnings.warn(f"{path} is damaged and is left out; going back to the checkpoint before it.", stacklevel=2)
    return whole


def checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def flush(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
