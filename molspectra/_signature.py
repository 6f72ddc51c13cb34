"""Parameters of a callable, inspected once and remembered."""

import functools
import inspect
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.parallel import DataParallel, DistributedDataParallel

_WRAPPERS = (DataParallel, DistributedDataParallel, FullyShardedDataParallel)


class Parameters(NamedTuple):
    """Names of the parameters of a callable."""

    names: tuple[str, ...] = ()
    """All named parameters, positional ones first, in order."""
    takes_any: bool = False
    """True if the callable accepts any further keyword (`**keywords`)."""


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

    Wrappers (`torch.compile`, DistributedDataParallel, …) accept any argument: the module inside them is inspected. A
    traced module has no signature, and therefore no parameters here.
    """
    if isinstance(call, functools.partial):
        inner = parameters_of(call.func)
        # Keywords of a partial can be overridden and stay; positional arguments are used up.
        return inner._replace(names=inner.names[len(call.args) :])
    if isinstance(call, _WRAPPERS):
        return parameters_of(call.module)
    if isinstance(call, nn.Module):
        compiled = "_orig_mod" in call._modules  # hasattr would raise and catch an error inside torch: 7 µs
        return parameters_of(call.get_submodule("_orig_mod") if compiled else call.forward)
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
