"""A module's class and constructor arguments as JSON, and the module built from them again."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from molspectra._config import Configurable
from molspectra._plain import as_plain
from molspectra.spectra import PeakAxis, SpectrumAxis

_PACKAGES = {
    f"molspectra.{name}"
    for name in ("data", "encoders", "heads", "layers", "methods", "noise", "objectives", "spectra")
}


def describe(value: Any, name: str) -> Any:
    """Return a JSON form of a constructor argument or a module, from which :func:`build` makes it again.

    Args:
        value: A plain value, a container of them, an axis, or a Configurable.
        name: Name of the value, for the message.

    Raises:
        TypeError: the value has no such form.
    """
    value = as_plain(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, SpectrumAxis | PeakAxis):
        return {"class": class_name(type(value)), "arguments": describe(dataclasses.asdict(value), name)}
    if isinstance(value, list | tuple):
        return [describe(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Configurable):
        arguments = {key: describe(_current(value, key, item), f"{name}.{key}") for key, item in value.config.items()}
        return {"class": class_name(type(value)), "arguments": arguments}
    raise TypeError(
        f"{name} is a {type(value).__name__}, which cannot be written to config.json; expected plain values or modules "
        "that inherit molspectra.Configurable. Save its weights with safetensors yourself, or make it Configurable."
    )


def build(described: Any, classes: Mapping[str, type]) -> Any:
    """Make a value of its JSON form again.

    Args:
        described: JSON form, from :func:`describe`.
        classes: Classes of the user by name, beside those of this library.

    Raises:
        ValueError: a class is unknown.
    """
    if isinstance(described, list):
        return [build(item, classes) for item in described]
    if not isinstance(described, dict):
        return described
    if "class" not in described:
        return {key: build(item, classes) for key, item in described.items()}
    arguments = {key: build(item, classes) for key, item in described["arguments"].items()}
    return _find_class(described["class"], classes)(**arguments)


def class_name(cls: type) -> str:
    """Return `molspectra.<package>.<class>` for the library's own classes, in whichever file of the package they are.

    Files can be moved within a package without invalidating the checkpoints that were saved before.
    """
    parts = cls.__module__.split(".")
    return ".".join([*(parts[:2] if parts[0] == "molspectra" else parts), cls.__qualname__])


def _current(module: Configurable, name: str, argument: Any) -> Any:
    """Return the part that a module was built with, or the one that has replaced it since."""
    part = getattr(module, name, None)
    return part if isinstance(argument, Configurable) and isinstance(part, Configurable) else argument


def _find_class(name: str, classes: Mapping[str, type]) -> type:
    """Return the class of a name. Only packages of this library are imported, never one that a file chooses."""
    if name in classes:
        return classes[name]
    package, _, short = name.rpartition(".")
    if package in _PACKAGES:
        cls = getattr(importlib.import_module(package), short, None)
        if isinstance(cls, type) and issubclass(cls, Configurable | SpectrumAxis | PeakAxis):
            return cls
    raise ValueError(
        f"The configuration names the unknown class {name!r}. If it is yours, pass load(..., classes=[it])."
    )
