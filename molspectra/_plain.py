"""Plain values of Python in place of those of NumPy and PyTorch, which a configuration cannot hold."""

import fractions
import numbers
import os
from collections.abc import KeysView, Mapping, ValuesView
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor


def as_plain(value: Any, arrays: bool = False) -> Any:
    """Return a value with the numbers of NumPy and PyTorch in it as those of Python.

    Args:
        value: Any value. It is returned as it is, unless it is a number, a path or a container.
        arrays: Convert arrays and tensors with axes to lists as well.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) or type(value) is Tensor:  # not a parameter, which is shared on purpose
        return value.tolist() if value.ndim == 0 or arrays else value
    if isinstance(value, Decimal | fractions.Fraction):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, MappingProxyType) or type(value) is dict:
        return {as_plain(key): as_plain(item, arrays) for key, item in value.items()}
    if isinstance(value, range | KeysView | ValuesView):
        return [as_plain(item, arrays) for item in value]
    if type(value) in (list, tuple):
        return type(value)(as_plain(item, arrays) for item in value)
    return value


def refuse_unsavable(user: str, arguments: Mapping[str, Any]) -> None:
    """Check that arguments do not hold values that are plain, but that a configuration cannot hold.

    Raises:
        TypeError: one is a complex number, a set or bytes.
    """
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            refuse_unsavable(user, {f"{name}[{key!r}]": item for key, item in value.items()})
        elif isinstance(value, list | tuple):
            refuse_unsavable(user, {f"{name}[{index}]": item for index, item in enumerate(value)})
        elif isinstance(value, set | frozenset | bytes) or _is_complex(value):
            raise TypeError(
                f"{name} of {user} must be a number, a text, a list or a dict, which can be saved; got a "
                f"{type(value).__name__}. Pass a real number, or a list."
            )


def _is_complex(value: Any) -> bool:
    return isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real)
