"""Guarded unpickling of molecules that torch.save has written as PyG objects: no code of the file is run."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals
from torch_geometric.data import Data

from molspectra.data._pyg import SAVED_CLASSES, saved_fields
from molspectra.data.io.archives import check_zip


def read_pickled(path: str | Path) -> Any:
    """Read tensors, plain values and PyG's `Data` from a file of torch.save. Tensors stay on disk if possible.

    A pickle may name any function to be called. Only the functions of tensors and of PyG's `Data` are called. A file
    that needs another one is refused.

    Args:
        path: The file.

    Returns:
        The saved object.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or would have to run code to be read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file at {path}.")
    check_zip(path)  # torch.load maps tensors to memory without looking at checksums
    try:
        with safe_globals(list(SAVED_CLASSES)):
            refused = get_unsafe_globals_in_checkpoint(path)
            if not refused:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} cannot be read as what torch.save writes since PyTorch 1.6: {error} Fetch it anew."
        ) from error
    raise ValueError(
        f"{path} would have to run {refused} to be read, which is not safe. Where you trust the file, read it with "
        "torch.load(path, weights_only=False) and save plain tensors or torch_geometric.data.Data."
    )


def fields_of(record: object) -> Mapping[str, Any]:
    """Return the fields of a record of a file: a `Data` of any PyG version, or a dictionary.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(record, Data):
        return saved_fields(record)
    if not isinstance(record, Mapping):
        raise ValueError(f"expected a Data or a dictionary of fields; got a {type(record).__name__}.")
    return record


def numbers_of(fields: Mapping[str, Any], name: str) -> Tensor:
    """Return a field as a tensor of real numbers.

    Raises:
        ValueError: it is something else.
    """
    value = fields[name]
    if isinstance(value, bool | int | float):
        return torch.tensor(value, dtype=torch.float32 if isinstance(value, float) else None)
    if not isinstance(value, Tensor) or value.is_complex():
        raise ValueError(f"{name} must be a tensor of numbers; got a {type(value).__name__}.")
    return value


def read_collated(path: str | Path, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Read molecules from a file of `torch_geometric.data.InMemoryDataset`: concatenated fields and their slices.

    Args:
        path: The file.
        fields: Names of the fields wanted.

    Yields:
        Field → its tensor, a view of the file, or its plain value.

    Raises:
        ValueError: the file has another content, lacks fields, or is inconsistent.
    """
    saved = read_pickled(path)
    if not (isinstance(saved, tuple) and len(saved) >= 2 and isinstance(saved[1], Mapping)):
        raise ValueError(
            f"{path} holds a {type(saved).__name__}; expected (data, slices), as torch_geometric.data.InMemoryDataset "
            "saves. Is it another file of that name?"
        )
    data, slices = fields_of(saved[0]), saved[1]
    if missing := [name for name in fields if name not in data or name not in slices]:
        raise ValueError(f"{path} lacks the fields {missing}; it has {sorted(slices)}. Is it another release?")
    bounds = {name: torch.as_tensor(slices[name]).tolist() for name in fields}
    ends = {name: len(data[name]) for name in fields}
    lengths = {name: len(bound) - 1 for name, bound in bounds.items()}
    wrong = [name for name in fields if bounds[name] != sorted(bounds[name]) or bounds[name][-1] != ends[name]]
    if wrong or len(set(lengths.values())) != 1:
        raise ValueError(f"{path} is inconsistent: molecules {lengths}, slices that do not fit {wrong}. Fetch it anew.")
    for index in range(lengths[fields[0]]):
        parts = {name: (data[name], slice(*bounds[name][index : index + 2])) for name in fields}
        yield {
            name: value[part] if isinstance(value, Tensor) else value[index] for name, (value, part) in parts.items()
        }
