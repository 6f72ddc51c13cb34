"""Parameters of a callable, inspected once and remembered, and the callable inside wrappers of it."""

import functools
import inspect
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import nn


class Parameters(NamedTuple):
    """Names of the parameters of a callable."""

    names: tuple[str, ...] = ()
    """All named parameters, positional ones first, in order."""
    takes_any: bool = False
    """True if the callable accepts any further keyword (`**keywords`)."""


_ANY = Parameters(takes_any=True)


# Inspection takes 0.1 ms or more, and the parameters of an encoder are asked for in every step. They are remembered by
# function, not by module, so that a replaced `forward` is seen. Names hold no reference to the function, which can
# therefore be collected. Bound methods have one parameter fewer than their function: hence two dictionaries.
_FREE: WeakKeyDictionary[Callable[..., Any], Parameters] = WeakKeyDictionary()
_BOUND: WeakKeyDictionary[Callable[..., Any], Parameters] = WeakKeyDictionary()


def takes(call: Callable[..., Any], keyword: str) -> bool:
    """Return True if a function, or the forward of a module, takes a keyword."""
    parameters = parameters_of(call)
    return parameters.takes_any or keyword in parameters.names


def parameters_of(call: Callable[..., Any]) -> Parameters:
    """Return the parameters of a function, or of the forward of a module.

    Wrappers (see :func:`unwrap`) accept any argument: the callable inside them is inspected. A traced module has no
    signature, and therefore no parameters here.
    """
    if isinstance(call, functools.partial):
        inner = parameters_of(call.func)
        # Keywords of a partial can be overridden and stay; positional arguments are used up.
        return inner._replace(names=inner.names[len(call.args) :])
    if isinstance(call, nn.Module):
        wrapped = _wrapped(call)
        return _parameters_of_forward(call) if wrapped is None else parameters_of(wrapped)
    own, owner = _own_parameters(call), getattr(call, "__self__", None)
    if own == _ANY and isinstance(owner, nn.Module) and call.__name__ == "forward":
        return parameters_of(owner)
    return own


def unwrap(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the callable inside all wrappers, or the callable itself if it is none.

    A wrapper passes its arguments on: `torch.compile`, DistributedDataParallel, `AveragedModel`, an adapter of `peft`,
    `functools.partial`, and any module with `forward(*args, **kwargs)` around one other module. No class is asked for,
    so that wrappers of other libraries are seen through as well.
    """
    while (inner := _wrapped(call)) is not None:
        call = inner
    return call


def attribute_of(call: Callable[..., Any], name: str, default: Any = None) -> Any:
    """Return an attribute of a callable, or of the callable that it wraps: `out_channels`, `max_z`, `needs_bonds`."""
    outer: Callable[..., Any] | None = call
    while outer is not None:
        if hasattr(outer, name):
            return getattr(outer, name)
        outer = _wrapped(outer)
    return default


def _wrapped(call: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the callable one level further in, or None if this one is no wrapper."""
    if isinstance(call, functools.partial):
        return call.func
    if isinstance(call, nn.Module):
        # The convention of functools.wraps, on an object: a module around a function.
        return vars(call).get("__wrapped__") or _wrapped_module(call)
    # The forward of a module, bound or decorated, is as good as the module.
    owner = getattr(call, "__self__", None)
    return owner if isinstance(owner, nn.Module) else getattr(call, "__wrapped__", None)


def _wrapped_module(module: nn.Module) -> nn.Module | None:
    """Return the only child of a module that passes any argument on to it, or None."""
    children = module._modules
    if "_orig_mod" in children:  # torch.compile
        return children["_orig_mod"]
    if not 1 <= len(children) <= 2:  # nearly all modules leave here
        return None
    own = _parameters_of_forward(module)
    if not own.takes_any:
        return None
    # A wrapper may hold its child twice, bare and wrapped once more, as Lightning's Fabric does.
    models = [child for child in children.values() if child is not None and not _is_layer(child)]
    if not models or any(unwrap(model) is not unwrap(models[0]) for model in models[1:]):
        return None
    # Parameters with names are passed on if the child has them too.
    return models[0] if set(own.names) <= set(parameters_of(models[0]).names) else None


def _is_layer(module: nn.Module) -> bool:
    """Return True for layers of torch, such as an embedding: a part of the module that holds it, not a model in it."""
    return type(module).__module__.startswith("torch.nn.modules.")


def _parameters_of_forward(module: nn.Module) -> Parameters:
    """Return the parameters of a module's forward, without a look inside the module."""
    own = _own_parameters(module.forward)
    if own == _ANY and "forward" in vars(module):
        # Replaced in this object, by a hook or a library: whatever it is given goes on to the forward of the class.
        return _own_parameters(types.MethodType(type(module).forward, module))
    return own


def _own_parameters(call: Callable[..., Any]) -> Parameters:
    """Return the parameters of a callable without a look inside, from memory after the first time."""
    bound = isinstance(call, types.MethodType)
    known, function = (_BOUND, call.__func__) if bound else (_FREE, call)  # type: ignore[attr-defined]
    with suppress(KeyError, TypeError):  # TypeError: no weak reference to it is possible
        return known[function]
    parameters = _inspect(call)
    with suppress(TypeError):
        known[function] = parameters
    return parameters


def _inspect(call: Callable[..., Any]) -> Parameters:
    try:
        parameters = inspect.signature(call).parameters.values()
    except ValueError:
        return Parameters()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = tuple(parameter.name for parameter in parameters if parameter.kind not in variadic)
    return Parameters(names, any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters))
