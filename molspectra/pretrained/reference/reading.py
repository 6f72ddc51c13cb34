"""Reading of PyTorch and Lightning checkpoints, without Lightning and without running code from the file."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

_CALLBACKS = "pytorch_lightning.callbacks."


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read the dictionary in a checkpoint, with `weights_only=True`, onto the CPU.

    Lightning 1.3 keys the states of callbacks by their classes, which the safe loader refuses. Empty classes replace
    such names, those below `pytorch_lightning.callbacks`. A file that needs any other class is refused.

    Args:
        path: File written by torch.save, or tensors by name if its name ends in .safetensors.

    Returns:
        Content of the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is of another kind, needs other classes, or holds no dictionary.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No checkpoint at {path}.")
    if Path(path).suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
    try:
        needed = get_unsafe_globals_in_checkpoint(path)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read as a PyTorch checkpoint: {error}") from error
    refused = [name for name in needed if not name.startswith(_CALLBACKS)]
    if refused:
        raise ValueError(
            f"{path} would have to run {refused} to be loaded, which is not safe. Re-save its state_dict and "
            "hyper_parameters as plain tensors and values where you trust the file."
        )
    with safe_globals([(type(name.rpartition(".")[2], (), {}), name) for name in needed]):
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__}; expected a dict, as checkpoints are.")
    return checkpoint
