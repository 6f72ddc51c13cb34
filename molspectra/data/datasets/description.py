"""Description of the functions that molecules have passed through before they were stored."""

import re
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def describe(function: Any) -> str:
    """Describe a function by its name, or a callable object by its repr, equally in all processes and Python versions.

    Only these texts are compared: a function whose code has changed, another lambda of the same place and an object
    whose repr hides its parameters count as the same.

    Example:
        >>> import functools
        >>> describe(len), describe(functools.partial(int, base=2))
        ('builtins.len', "functools.partial(<class 'int'>, base=2)")
    """
    name = getattr(function, "__qualname__", None)
    if name is not None:
        return f"{function.__module__}.{name}"
    return _ADDRESS.sub("", repr(function))
