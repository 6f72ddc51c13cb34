"""Weights as safetensors beside a readable config.json; nothing is ever unpickled."""

import importlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from molspectra._config import Configurable

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
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
        ValueError: a part that the module made for itself has been replaced by another, which its arguments do not say.

    Example:
        >>> save(ms.heads.VectorHead(channels=32), tmp_path / "head")
        >>> load_directory(tmp_path / "head")
        VectorHead(...
    """
    described = {"format": _FORMAT, **describe_module(module)}
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # Cloned, as some modules (torch_geometric's SchNet) hold one tensor under two names, which the format refuses.
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}
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
    module = _rebuild(directory / CONFIG_FILE, classes)
    try:
        weights = load_file(directory / WEIGHTS_FILE)
    except SafetensorError as error:
        raise ValueError(
            f"{directory / WEIGHTS_FILE} is damaged or no safetensors file: {error}. Copy or fetch it again."
        ) from error
    floating = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if len(floating) == 1:
        module.to(floating.pop())  # in which it was saved: nothing is rounded
    load_strictly(module, weights, str(directory))
    return module.eval()


def _rebuild(path: Path, classes: Iterable[type]) -> nn.Module:
    """The module that a configuration describes, with new weights."""
    try:
        described = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged or no JSON: {error}. Copy or fetch it again.") from error
    if not isinstance(described, dict) or "format" not in described:
        raise ValueError(f"{path} has no format; expected a configuration written by molspectra.pretrained.save.")
    if described["format"] != _FORMAT:
        raise ValueError(f"{path} has format {described['format']!r}; this version reads {_FORMAT}. Update molspectra.")
    try:
        module = _build(described, {_class_name(cls): cls for cls in classes})
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not describe a module that this version can build ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{path} describes a {type(module).__name__}; expected a module.")
    return module


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


def describe(value: Any, name: str) -> Any:
    """A JSON form of a constructor argument, from which `_build` makes it again."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Configurable):
        arguments = {key: describe(_current(value, key, item), f"{name}.{key}") for key, item in value.config.items()}
        return {"class": _class_name(type(value)), "arguments": arguments}
    raise TypeError(
        f"{name} is a {type(value).__name__}, which cannot be written to config.json; expected plain values or modules "
        "that inherit molspectra.Configurable. Save its weights with safetensors yourself, or make it Configurable."
    )


def describe_module(module: nn.Module) -> dict[str, Any]:
    """The configuration of a module.

    Raises:
        TypeError: the module, or an argument it was built with, cannot be written down.
        ValueError: it has been changed since it was built, and would come back as another one.
    """
    described: dict[str, Any] = describe(module, "module")
    _refuse_replaced(module, described)
    return described


def _refuse_replaced(module: nn.Module, described: Mapping[str, Any]) -> None:
    """Refuse a module that would come back as another one."""
    classes = {_class_name(type(part)): type(part) for part in _configurable_parts(module).values()}
    with torch.random.fork_rng(devices=[]):
        rebuilt = _build(described, classes)
    expected = _configurable_parts(rebuilt)
    changed = [
        name
        for name, part in _configurable_parts(module).items()
        if name not in expected
        or describe(part, name) != describe(expected[name], name)
        or _changed(part, expected[name])
    ]
    if changed or misfits(rebuilt, module.state_dict()):
        parts = ", ".join(filter(None, changed)) or "it"
        raise ValueError(
            f"{type(module).__name__} cannot be rebuilt from its arguments, as {parts} has been changed since. Build "
            "it with arguments that say so, or save the parts by themselves."
        )


def _changed(part: Configurable, rebuilt: Configurable) -> bool:
    """Whether a plain value that a part was built with, a mean or a label, has another value now."""
    plain = bool | int | float | str | None
    return any(
        isinstance(argument, plain) and name in vars(part) and vars(part)[name] != vars(rebuilt).get(name)
        for name, argument in part.config.items()
    )


def _configurable_parts(module: nn.Module) -> dict[str, Configurable]:
    """Configurable objects in a module, noises and the like among them, by where they are; and the module itself."""
    return {
        f"{path}.{name}".strip("."): part
        for path, inner in module.named_modules()
        for name, part in [("", inner), *vars(inner).items()]
        if isinstance(part, Configurable)
    }


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
