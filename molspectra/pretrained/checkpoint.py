"""Weights as safetensors beside a readable config.json; nothing is ever unpickled."""

import importlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from molspectra._config import Configurable

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_FORMAT = 1
_PACKAGES = {
    f"molspectra.{name}" for name in ("data", "encoders", "heads", "methods", "noise", "objectives", "spectra")
}


def save(module: nn.Module, directory: str | Path) -> None:
    """Write a module's weights and constructor arguments.

    Args:
        module: An encoder, SpecFormer, head, objective with weights or method, or a module of your own that inherits
            :class:`molspectra.Configurable`.
        directory: Where `model.safetensors` and `config.json` go; made if need be, each file replaced at once.

    Raises:
        TypeError: the module, or an argument it was built with, cannot be written down.

    Example:
        >>> save(ms.heads.VectorHead(channels=32), tmp_path / "head")
        >>> load(tmp_path / "head")
        VectorHead(...
    """
    described = {"format": _FORMAT, **_describe(module, "module")}
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # Cloned, as some modules (torch_geometric's SchNet) hold one tensor under two names, which the format refuses.
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}
    save_file(weights, directory / (_WEIGHTS + ".part"))
    (directory / (_CONFIG + ".part")).write_text(json.dumps(described, indent=2) + "\n")
    for name in (_WEIGHTS, _CONFIG):
        os.replace(directory / (name + ".part"), directory / name)


def load(directory: str | Path, classes: Iterable[type] = ()) -> nn.Module:
    """Rebuild a module that :func:`save` wrote, in evaluation mode, on the CPU.

    Args:
        directory: The directory given to `save`.
        classes: Your own classes that the configuration may name; those of this library are known.

    Returns:
        The module with its weights.

    Raises:
        FileNotFoundError: the directory does not hold both files.
        ValueError: the configuration names an unknown class, or the weights do not fit.
    """
    directory = Path(directory)
    for name in (_WEIGHTS, _CONFIG):
        if not (directory / name).is_file():
            raise FileNotFoundError(
                f"{directory} holds no {name}; expected a directory written by molspectra.pretrained.save."
            )
    described = json.loads((directory / _CONFIG).read_text())
    if described.get("format") != _FORMAT:
        raise ValueError(
            f"{directory / _CONFIG} has format {described.get('format')!r}; this version reads {_FORMAT}. "
            "Update molspectra."
        )
    module = _build(described, {_class_name(cls): cls for cls in classes})
    load_strictly(module, load_file(directory / _WEIGHTS), str(directory))
    return module.eval()


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load weights, or refuse with the list of every key that does not fit.

    Args:
        module: Receives the weights.
        state: Weights by name.
        source: Where they come from, for the message.

    Raises:
        ValueError: keys are missing, unexpected or of another shape; nothing has been loaded then.
    """
    if problems := misfits(module, state):
        raise ValueError(
            f"The weights of {source} do not fit {type(module).__name__} ({len(problems)} keys):\n  "
            + "\n  ".join(problems)
        )
    module.load_state_dict(dict(state))


def misfits(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """A line for every key that is missing from `state`, unexpected in it, or of another shape there."""
    own = module.state_dict()
    missing = [f"missing: {name} {tuple(own[name].shape)}" for name in own if name not in state]
    unexpected = [f"unexpected: {name} {tuple(state[name].shape)}" for name in state if name not in own]
    misshaped = [
        f"mis-shaped: {name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in state and own[name].shape != state[name].shape
    ]
    return missing + unexpected + misshaped


def _describe(value: Any, name: str) -> Any:
    """A JSON form of a constructor argument, from which `_build` makes it again."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _describe(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Configurable):
        arguments = {key: _describe(_current(value, key, item), f"{name}.{key}") for key, item in value.config.items()}
        return {"class": _class_name(type(value)), "arguments": arguments}
    raise TypeError(
        f"{name} is a {type(value).__name__}, which cannot be written to config.json; expected plain values or modules "
        "that inherit molspectra.Configurable. Save its weights with safetensors yourself, or make it Configurable."
    )


def _current(module: Configurable, name: str, argument: Any) -> Any:
    """The part that a module was built with, or the one that has been put in its place since."""
    part = getattr(module, name, None)
    return part if isinstance(argument, Configurable) and isinstance(part, Configurable) else argument


def _build(described: Any, classes: Mapping[str, type]) -> Any:
    if isinstance(described, list):
        return [_build(item, classes) for item in described]
    if not isinstance(described, dict):
        return described
    if "class" not in described:
        return {key: _build(item, classes) for key, item in described.items()}
    arguments = {key: _build(item, classes) for key, item in described["arguments"].items()}
    return _find_class(described["class"], classes)(**arguments)


def _class_name(cls: type) -> str:
    """`molspectra.<package>.<class>` for the library's own, whichever file it lives in."""
    parts = cls.__module__.split(".")
    return ".".join([*(parts[:2] if parts[0] == "molspectra" else parts), cls.__qualname__])


def _find_class(name: str, classes: Mapping[str, type]) -> type:
    if name in classes:
        return classes[name]
    package, _, class_name = name.rpartition(".")
    if package in _PACKAGES:  # never import what a file names, other than ourselves
        cls = getattr(importlib.import_module(package), class_name, None)
        if isinstance(cls, type) and issubclass(cls, Configurable):
            return cls
    raise ValueError(
        f"The configuration names the unknown class {name!r}. If it is yours, pass load(..., classes=[it])."
    )
