"""An index as a directory: tensors as safetensors beside a readable index.json."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from molspectra.retrieval.scoring import Similarity

_TENSORS, _DESCRIPTION = "index.safetensors", "index.json"
_FORMAT = 1


class StoredIndex(NamedTuple):
    """Contents of an index."""

    embeddings: Tensor
    inverse_norms: Tensor | None
    similarity: Similarity
    ids: list[str] | None


def write_index(directory: str | Path, stored: StoredIndex) -> None:
    """Write an index, each of its files replaced at once."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {"embeddings": stored.embeddings.contiguous()}
    if stored.inverse_norms is not None:
        tensors["inverse_norms"] = stored.inverse_norms
    described = {"format": _FORMAT, "similarity": stored.similarity, "ids": stored.ids}
    # Under another name first: an index that is open elsewhere is mapped into memory and must not change below it.
    save_file(tensors, directory / (_TENSORS + ".part"))
    (directory / (_DESCRIPTION + ".part")).write_text(json.dumps(described) + "\n", encoding="utf-8")
    for name in (_TENSORS, _DESCRIPTION):
        os.replace(directory / (name + ".part"), directory / name)


def read_index(directory: str | Path, device: torch.device | str) -> StoredIndex:
    """Read an index. On the CPU its tensors are mapped into memory, not copied.

    Raises:
        FileNotFoundError: the directory does not hold both files.
        ValueError: they are damaged, of another format, or do not fit each other.
    """
    directory = Path(directory)
    for name in (_TENSORS, _DESCRIPTION):
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory} holds no {name}; expected a directory written by Index.save.")
    described = json.loads((directory / _DESCRIPTION).read_text(encoding="utf-8"))
    if not isinstance(described, dict):
        raise ValueError(f"{directory / _DESCRIPTION} is damaged: expected an object. Save the index again.")
    if described.get("format") != _FORMAT:
        raise ValueError(
            f"{directory / _DESCRIPTION} has format {described.get('format')!r}; this version reads {_FORMAT}. "
            "Update molspectra."
        )
    try:
        tensors = load_file(directory / _TENSORS, device=str(device))
    except SafetensorError as error:
        raise ValueError(f"{directory / _TENSORS} is damaged: {error}. Save the index again.") from error
    if not _fits(described, tensors):
        raise ValueError(f"{_TENSORS} and {_DESCRIPTION} in {directory} do not belong together. Save the index again.")
    return StoredIndex(
        tensors["embeddings"], tensors.get("inverse_norms"), described["similarity"], described.get("ids")
    )


def _fits(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bool:
    """Return True if both files have the same rows, and lengths if they are needed."""
    # A run that was killed between the two replacements leaves files of different libraries.
    rows = tensors["embeddings"].shape[0] if "embeddings" in tensors else None
    norms, ids = tensors.get("inverse_norms"), described.get("ids")
    return (
        rows is not None
        and (described.get("similarity") == "cosine") == (norms is not None)
        and (norms is None or norms.shape == (rows,))
        and (ids is None or len(ids) == rows)
    )
