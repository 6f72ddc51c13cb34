"""Checkpoints that a process may be killed while writing: what is there under its name is whole."""

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import distributed


class Checkpoints:
    """The last checkpoints of a training, in a folder that all processes see.

    A file is written under another name, flushed to the disk and then renamed, which either happens or does not. Its
    name ends with a checksum, so that a file that was damaged later is not taken for a checkpoint either. One process
    writes.

    Args:
        folder: Where they are; made if it is not there.
        keep: How many to keep; with more than one, a damaged file costs the steps since the one before it.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, number: int, state: dict[str, Any]) -> None:
        """Write tensors and plain values as checkpoint `number`, which must grow; older ones are deleted."""
        unfinished = self.folder / "unfinished.part"  # of one that was killed, if it is there
        with unfinished.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.folder / f"{number:09d}-{checksum(unfinished)}.pt")
        flush(self.folder)
        for old in self._files()[self.keep :]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole, the same one in all processes, on the CPU; None if there is none."""
        newest: list[Path | None] = [None]
        if not distributed.is_initialized() or distributed.get_rank() == 0:
            newest = [next(filter(is_whole, self._files()), None)]
        if distributed.is_initialized():
            distributed.broadcast_object_list(newest)
        return None if newest[0] is None else torch.load(newest[0], map_location="cpu", weights_only=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.pt"), reverse=True)


def is_whole(path: Path) -> bool:
    """Whether a file has the content that its name says; a warning if not."""
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
    """Have the disk remember the names in a folder, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
