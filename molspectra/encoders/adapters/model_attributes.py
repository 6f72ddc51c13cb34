"""Sizes and modules that are read off a model from elsewhere."""

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

from torch import nn

from molspectra._signature import attribute_of


def read_size(name: str, given: int | None, model: Any) -> int:
    """Return a size as given, or from the attribute of this name of the model.

    Raises:
        ValueError: The size is not positive, or neither the caller nor the model tells it.
    """
    size: Any = attribute_of(model, name) if given is None else given
    try:
        number = operator.index(size)
    except TypeError:
        number = 0
    if number < 1:
        remedy = "" if given is not None else f" The model does not tell it (a lazy one says -1): pass {name}=."
        raise ValueError(f"{name} must be a positive int; got {size!r}.{remedy}")
    return number


def read_cutoff(given: float | None, model: Any) -> float | None:
    """Return r_c in Å as given, or from the attribute `cutoff` of the model, or None if neither tells it.

    Raises:
        ValueError: It is not positive, or not a number.
    """
    cutoff = attribute_of(model, "cutoff") if given is None else given
    if cutoff is None:
        return None
    try:
        number = float(cutoff)
    except (TypeError, ValueError):  # for example, a submodule of this name
        number = math.nan
    if not number > 0:
        raise ValueError(f"cutoff must be a positive number (Å); got {cutoff!r}. Pass another one as cutoff=.")
    return number


def modules_behind(call: Callable[..., Any]) -> nn.ModuleList:
    """Return the modules inside a bound method or a partial application.

    An encoder that registers them trains, moves and copies them. A module registers by itself, and gives none here.
    """
    if isinstance(call, nn.Module):
        return nn.ModuleList()
    held = [call.func, *call.args, *call.keywords.values()] if isinstance(call, functools.partial) else [call]
    held += [getattr(part, "__self__", None) for part in held]
    return nn.ModuleList(part for part in held if isinstance(part, nn.Module))


def refuse_cached_graphs(module: nn.Module) -> None:
    """Refuse layers that keep the first graph that they see, as some layers of PyG do on request.

    Raises:
        ValueError: A layer has `cached=True`.
    """
    for name, part in module.named_modules():
        if getattr(part, "cached", None) is True:
            raise ValueError(
                f"{name}, a {type(part).__name__}, has cached=True and would take the first batch's edges for those of "
                "all others. Make it with cached=False."
            )
