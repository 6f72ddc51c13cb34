"""Telling functions apart that are called once, ahead of storing: another one must not pass for the one that was."""

import functools
import hashlib
import re
from collections.abc import Mapping
from types import CodeType
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(function: Any) -> str:
    """What a function, or an object that is called, does, as a short text that is the same in every process.

    Of functions it is the code and what they enclose, of objects their class and attributes; nothing is called.
    """
    if function is None:
        return "None"
    return f"{_name(function)} {hashlib.sha256(_described(function).encode()).hexdigest()[:16]}"


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _described(value: Any) -> str:
    if isinstance(value, functools.partial):
        return f"partial({_described([value.func, value.args, value.keywords])})"
    if isinstance(value, CodeType):
        return f"{value.co_code.hex()} {_described(value.co_consts)} {value.co_names}"
    if hasattr(value, "__code__"):
        enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
        return f"{value.__module__}.{value.__qualname__} {_described([value.__code__, enclosed, value.__defaults__])}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_described(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_described, value))}]"
    if callable(value) or _ADDRESS.search(repr(value)):
        return f"{type(value).__module__}.{_name(value)} {_described(getattr(value, '__dict__', {}))}"
    return _ADDRESS.sub("", repr(value))
