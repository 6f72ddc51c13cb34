"""Reading PyTorch Lightning checkpoints without Lightning, and without running code from the file."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

_CALLBACKS = "pytorch_lightning.callbacks."


def read_lightning(path: str | Path) -> dict[str, Any]:
    """The dictionary in a Lightning checkpoint, loaded with `weights_only=True`.

    Lightning 1.3 keys the states of callbacks by their classes, which the safe loader refuses. Only such names, below
    `pytorch_lightning.callbacks`, are stood in for by empty classes; a file that needs anything else is refused.

    Args:
        path: The .ckpt file.

    Returns:
        The checkpoint, with at least `state_dict` and `hyper_parameters`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file needs other classes, or is no Lightning checkpoint.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No checkpoint at {path}.")
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
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= set(checkpoint):
        raise ValueError(f"{path} is no Lightning checkpoint: expected a dict with state_dict and hyper_parameters.")
    return checkpoint
