"""Checks that a module can be rebuilt from its constructor arguments, before it is saved."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from molspectra._config import Configurable
from molspectra.pretrained.configuration import build, class_name, describe
from molspectra.pretrained.strict_loading import misfits


def describe_module(module: nn.Module) -> dict[str, Any]:
    """Return the configuration of a module that comes back from it unchanged.

    Raises:
        TypeError: the module, or an argument it was built with, cannot be written down.
        ValueError: it has been changed since it was built, and would come back as a different one.
    """
    described: dict[str, Any] = describe(module, "module")
    _refuse_replaced(module, described)
    return described


def _refuse_replaced(module: nn.Module, described: Mapping[str, Any]) -> None:
    """Refuse a module that would come back as a different one.

    Raises:
        ValueError: parts have been changed or replaced. The message names them.
    """
    classes = {class_name(type(part)): type(part) for part in _configurable_parts(module).values()}
    # New weights are drawn and discarded. The user's random numbers must not depend on whether something was saved.
    with torch.random.fork_rng(devices=[]):
        rebuilt = build(described, classes)
    expected = _configurable_parts(rebuilt)
    changed = [
        name
        for name, part in _configurable_parts(module).items()
        if name not in expected
        or describe(part, name) != describe(expected[name], name)
        or _is_changed(part, expected[name])
    ]
    if changed or misfits(rebuilt, module.state_dict()):
        parts = ", ".join(filter(None, changed)) or "it"
        raise ValueError(
            f"{type(module).__name__} cannot be rebuilt from its arguments, as {parts} has been changed since. Build "
            "it with arguments that say so, merge adapters into its weights, or save the parts by themselves."
        )


def _is_changed(part: Configurable, rebuilt: Configurable) -> bool:
    """Return True if a plain value that a part was built with, such as a mean or a label, is different now."""
    plain = bool | int | float | str | None
    return any(
        isinstance(argument, plain) and name in vars(part) and vars(part)[name] != vars(rebuilt).get(name)
        for name, argument in part.config.items()
    )


def _configurable_parts(module: nn.Module) -> dict[str, Configurable]:
    """Return the module and all Configurable objects in it, noises and the like among them, by their path."""
    return {
        f"{path}.{name}".strip("."): part
        for path, inner in module.named_modules()
        for name, part in [("", inner), *vars(inner).items()]
        if isinstance(part, Configurable)
    }
