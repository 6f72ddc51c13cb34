"""Molecules that others have saved with torch.save as objects of PyG, read without running code from the file."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

# Plain containers, whose own methods set attributes and nothing else.
_ALLOWED = (Data, DataEdgeAttr, DataTensorAttr, GlobalStorage)


def read_pickled(path: str | Path) -> Any:
    """What torch.save has written of tensors, plain values and PyG's `Data`; tensors stay on disk where they can.

    A pickle may name any function to be called. Only those of tensors and of PyG's `Data` are; a file that needs
    another is refused.

    Args:
        path: The file.

    Returns:
        What was saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or would have to run code to be read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file at {path}.")
    if zipfile.is_zipfile(path) and (name := zipfile.ZipFile(path).testzip()) is not None:
        raise ValueError(f"{path} is damaged: the checksum of {name} in it is wrong. Fetch it anew.")
    try:
        with safe_globals(list(_ALLOWED)):
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


def fields_of(data: Data | Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields by name, whichever version of PyG has written the object."""
    if not isinstance(data, Data):
        return data
    state = data.__dict__  # not through its attributes, which objects of PyG 1 do not have
    return state["_store"].to_dict() if "_store" in state else {name: x for name, x in state.items() if x is not None}


def read_collated(path: str | Path, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Molecules of a file that `torch_geometric.data.InMemoryDataset` has saved: fields end to end, and their slices.

    Args:
        path: The file.
        fields: Those to be read.

    Yields:
        Field → its tensor, a view of the file, or its plain value.

    Raises:
        ValueError: the file is something else, lacks fields, or is inconsistent.
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
