"""A module as a directory: weights as safetensors beside a readable config.json. Nothing is ever unpickled."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from molspectra._signature import unwrap
from molspectra._validation import checked
from molspectra.pretrained.configuration import build, class_name
from molspectra.pretrained.construction_dtype import construction_dtype
from molspectra.pretrained.reading import Reading, recommend_reading, recommended_reading
from molspectra.pretrained.rebuilding import describe_module
from molspectra.pretrained.strict_loading import load_strictly

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
_FORMAT = 1


@checked
def save(module: nn.Module, directory: str | Path) -> None:
    """Write a module's weights and constructor arguments.

    Args:
        module: An encoder, SpecFormer, head, objective with weights or method, or a module of your own that inherits
            :class:`molspectra.Configurable`. If it is wrapped (`torch.compile`, `AveragedModel`,
            …), the module inside is saved. Merge adapters of `peft` into the weights first.
        directory: Receives `model.safetensors` and `config.json`, each replaced at once. It is made if need be.

    Raises:
        TypeError: the module, or an argument it was built with, cannot be written down.
        ValueError: a part that the module made for itself has been replaced, which its arguments do not say.

    Example:
        >>> save(ms.heads.VectorHead(channels=32), tmp_path / "head")
        >>> load_directory(tmp_path / "head")
        VectorHead(...
    """
    inside = unwrap(module)
    module = inside if isinstance(inside, nn.Module) else module
    described = {"format": _FORMAT, **describe_module(module)}
    if (reading := recommended_reading(module)) is not None:
        described["reading"] = reading._asdict()
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # Cloned, as some modules (torch_geometric's SchNet) hold one tensor under two names, which the format refuses.
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}
    # Under another name first: a run that is killed while it writes leaves the checkpoint before it intact.
    save_file(weights, directory / (WEIGHTS_FILE + ".part"))
    (directory / (CONFIG_FILE + ".part")).write_text(json.dumps(described, indent=2) + "\n")
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        os.replace(directory / (name + ".part"), directory / name)


def load_directory(directory: Path, classes: Iterable[type] = ()) -> nn.Module:
    """Rebuild the module of a directory that :func:`save` wrote, on the CPU and in evaluation mode.

    Raises:
        FileNotFoundError: the directory does not hold both files.
        ValueError: a file is damaged, the configuration names an unknown class, or the weights do not fit.
    """
    if directory.is_file():
        raise FileNotFoundError(
            f"{directory} is a file; expected a directory written by molspectra.pretrained.save. Published checkpoints "
            "are read with load_reference."
        )
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (directory / name).is_file():
            raise FileNotFoundError(
                f"{directory} holds no {name}; expected a directory written by molspectra.pretrained.save."
            )
    try:
        weights = load_file(directory / WEIGHTS_FILE)
    except SafetensorError as error:
        raise ValueError(
            f"{directory / WEIGHTS_FILE} is damaged or no safetensors file: {error}. Copy or fetch it again."
        ) from error
    floating = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    # Constants, which are not saved, are computed in float32 or better.
    described = _read_config(directory / CONFIG_FILE)
    with construction_dtype(torch.float64 if floating == {torch.float64} else torch.float32):
        module = _rebuild(described, directory / CONFIG_FILE, classes)
    if len(floating) == 1:
        module.to(floating.pop())  # the dtype in which it was saved, so that nothing is rounded
    load_strictly(module, weights, str(directory))
    if "reading" in described:
        layers, pool = (described["reading"][name] for name in Reading._fields)
        # JSON has no tuples.
        recommend_reading(module, Reading(tuple(layers) if isinstance(layers, list) else layers, pool))
    return module.eval()


def _read_config(path: Path) -> dict[str, Any]:
    """Return a configuration.

    Raises:
        ValueError: the file is damaged, or of another format.
    """
    try:
        described = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged or no JSON: {error}. Copy or fetch it again.") from error
    if not isinstance(described, dict) or "format" not in described:
        raise ValueError(f"{path} has no format; expected a configuration written by molspectra.pretrained.save.")
    if described["format"] != _FORMAT:
        raise ValueError(f"{path} has format {described['format']!r}; this version reads {_FORMAT}. Update molspectra.")
    return described


def _rebuild(described: Mapping[str, Any], path: Path, classes: Iterable[type]) -> nn.Module:
    """Return the module that the configuration of a file describes, with new weights.

    Raises:
        ValueError: it describes no module of this version.
    """
    try:
        module = build(described, {class_name(cls): cls for cls in classes})
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not describe a module that this version can build ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{path} describes a {type(module).__name__}; expected a module.")
    return module
