"""Functions as modules, with the modules that they call."""

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from molspectra._signature import attribute_of, takes


class FunctionModule(nn.Module):
    """Encoder around a function, a method or a `functools.partial`.

    The modules that it calls become parts, so that evaluation mode, device and dtype of the encoder are theirs.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.__wrapped__ = call  # parameters and attributes are those of the function
        self.parts = nn.ModuleList(modules_inside(call))
        self.needs_bonds = needs_bonds(call)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.__wrapped__(*args, **kwargs)


def as_module(call: Callable[..., Any]) -> nn.Module:
    """Return a module as it is, and another callable as a module."""
    return call if isinstance(call, nn.Module) else FunctionModule(call)


def needs_bonds(call: Callable[..., Any]) -> bool:
    """Return True if an encoder raises an error without `bond_index`: it says so, or calls one and passes bonds on."""
    told = attribute_of(call, "needs_bonds")
    if told is not None:
        return bool(told)
    if isinstance(call, nn.Module) or not takes(call, "bond_index"):
        return False
    return any(attribute_of(module, "needs_bonds", False) for module in modules_inside(call))


def modules_inside(call: Any) -> list[nn.Module]:
    """Return the modules that a callable calls, or the module itself if it is one.

    They are found in the arguments of a `functools.partial`, the owner of a method, and the variables that a function
    encloses or finds in its file, containers and attributes among them.
    """
    return list(dict.fromkeys(_search([call], seen=set())))


def _search(values: Iterable[Any], seen: set[int]) -> Iterator[nn.Module]:
    for value in values:
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            yield value
        else:
            yield from _search(_held_by(value), seen)


def _held_by(value: Any) -> Iterable[Any]:
    """Return the objects in which a callable or a container may hold a module."""
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__self__]
    if isinstance(value, types.FunctionType):
        return _variables(value)
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, type | types.ModuleType):
        return []
    # Objects hold modules as attributes. No deeper: an object may lead to everything that a program has.
    return [held for held in getattr(value, "__dict__", {}).values() if isinstance(held, nn.Module)]


def _variables(function: types.FunctionType) -> Iterable[Any]:
    """Return the variables of other scopes that a function uses. Functions of other files are left out."""
    try:
        variables = inspect.getclosurevars(function)
    except ValueError:  # a variable that is not yet bound
        return []
    used = [*variables.nonlocals.values(), *variables.globals.values()]
    return [
        value for value in used if not isinstance(value, types.FunctionType) or value.__module__ == function.__module__
    ]
