"""Which keywords a callable takes."""

import functools
import inspect
from collections.abc import Callable, Mapping

from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.parallel import DataParallel, DistributedDataParallel

_WRAPPERS = (DataParallel, DistributedDataParallel, FullyShardedDataParallel)


def takes(call: Callable, keyword: str) -> bool:
    """Whether a function or a module's forward takes a keyword."""
    given = parameters_of(call)
    return keyword in given or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in given.values())


def parameters_of(call: Callable) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function or a module's forward, by name.

    What wraps an encoder for `torch.compile` or for several processes takes anything; then the encoder is asked. Traced
    modules have no signature, and no parameters here.
    """
    try:
        return inspect.signature(_innermost(call)).parameters
    except ValueError:
        return {}


def _innermost(call: Callable) -> Callable:
    if isinstance(call, functools.partial):
        return functools.partial(_innermost(call.func), *call.args, **call.keywords)
    if isinstance(call, _WRAPPERS):
        return _innermost(call.module)
    if hasattr(call, "_orig_mod"):  # of torch.compile
        return _innermost(call._orig_mod)
    return call.forward if isinstance(call, nn.Module) else call
