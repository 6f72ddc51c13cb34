"""Looking at which keywords a callable takes."""

import inspect
from collections.abc import Callable

from torch import nn


def takes(call: Callable, keyword: str) -> bool:
    """Whether a function or a module's forward takes a keyword.

    What wraps an encoder for `torch.compile` or for several processes takes anything; then the encoder is asked.
    """
    forward = call.forward if isinstance(call, nn.Module) else call
    parameters = inspect.signature(forward).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    wrapped = getattr(call, "_orig_mod", None) or (getattr(call, "module", None) if takes_any else None)
    return takes(wrapped, keyword) if wrapped is not None else takes_any or keyword in parameters
