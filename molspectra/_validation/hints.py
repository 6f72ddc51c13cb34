"""Comparison of a value with the annotation of the argument that it was given for.

Only what a mistaken call gets wrong is compared: the kind of value and of its entries, not shapes and dtypes. The
annotation of an argument is thereby its check and its documentation.
"""

import collections.abc
import numbers
import os
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from torch import nn
from torch_geometric.data import Data

from molspectra._plain import as_plain

_SEQUENCES = (collections.abc.Sequence, collections.abc.Collection, list, tuple)
_UNIONS = (typing.Union, types.UnionType)
_CONTAINERS = (collections.abc.Iterable, collections.abc.Container)
_EXPECTED = {
    int: "an int",
    float: "a number",
    bool: "True or False",
    str: "a str",
    type(None): "None",
    collections.abc.Callable: "a callable object",
    collections.abc.Mapping: "a dict",
    collections.abc.Sequence: "a list",
    collections.abc.Iterable: "an iterable",
    collections.abc.Collection: "a list",
    nn.Module: "a module",
}
# Entries of a sequence that are compared. A list may hold a number per molecule of a large data set.
_ENTRIES = 100


class Misfit(NamedTuple):
    """Value that is not of the kind that an annotation asks for."""

    name: str
    """Name of the argument, with the place of the entry: `lengths['ir']`."""
    value: Any
    """The value."""
    hint: Any
    """The annotation."""


def find_misfit(name: str, value: Any, hint: Any) -> Misfit | None:
    """Return the argument, or the first of its entries, that its annotation does not allow, or None."""
    misfit = Misfit(name, value, hint)
    for option in options_of(hint):
        # Numbers of NumPy and PyTorch, and views of dicts, are as good as those of Python and lists.
        fitting = [form for form in (value, as_plain(value)) if _is_of_kind(form, option)]
        if not fitting:
            continue
        within = (find_misfit(f"{name}[{key!r}]", item, kind) for key, item, kind in _entries(fitting[0], option))
        misfit = next((found for found in within if found is not None), None)  # type: ignore[assignment]
        if misfit is None:
            return None
    return misfit


def options_of(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation itself."""
    if typing.get_origin(hint) in _UNIONS:
        return tuple(option for member in typing.get_args(hint) for option in options_of(member))
    return (type(None) if hint is None else hint,)


def expected(hint: Any) -> str:
    """Describe what an annotation allows: "an int, a dict or None"."""
    texts: list[str] = []
    for option in options_of(hint):
        found = [f'"{c}"' if isinstance(c, str) else str(c) for c in choices_of(option)] or [_expected(option)]
        texts += [text for text in found if text not in texts]
    *others, last = texts
    return f"{', '.join(others)} or {last}" if others else last


def received(value: Any) -> str:
    """Describe a value: a number or text as it is, the class of others."""
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r:.80}"
    return f"the class {value.__name__}" if isinstance(value, type) else _with_article(type(value).__name__)


def choices_of(hint: Any) -> tuple[Any, ...]:
    """Return the values that a `Literal` allows, or nothing."""
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def is_called(hint: Any) -> bool:
    """Return True if an annotation is that of a module, a function or another object that is called."""
    kind: Any = class_of(hint)
    return kind is collections.abc.Callable or issubclass(kind, nn.Module) or getattr(kind, "_is_protocol", False)


def _is_of_kind(value: Any, hint: Any) -> bool:
    """Return True if a value is of the kind of an annotation that is no union, without a look at its entries."""
    if hint is Any or isinstance(hint, typing.TypeVar):
        return True
    if choices := choices_of(hint):
        return isinstance(value, str | int | None) and value in choices
    kind: Any = class_of(hint)
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float):  # a bool is an int of Python, and nowhere a size
        number = numbers.Integral if kind is int else numbers.Real
        return isinstance(value, number) and not isinstance(value, bool)
    if isinstance(value, Data):  # molecules, which can be called and iterated over as well
        return kind is object or issubclass(kind, Data)
    if is_called(hint):
        # Functions, partial applications and wrappers are as good as modules. A class is one that was not called.
        return callable(value) and not isinstance(value, type)
    if issubclass(kind, os.PathLike) and isinstance(value, str):
        return True
    # A text is a sequence of texts, which is never meant.
    is_text = isinstance(value, str | bytes) and not issubclass(kind, str | bytes) and issubclass(kind, _CONTAINERS)
    return isinstance(value, kind) and not is_text


def _entries(value: Any, hint: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield key, value and annotation of the entries of a dict, a list or a tuple."""
    kinds = [kind for kind in typing.get_args(hint) if kind is not Ellipsis]
    if isinstance(value, Mapping) and len(kinds) == 2:
        yield from ((key, item, kinds[1]) for key, item in value.items())
    elif isinstance(value, list | tuple | np.ndarray) and len(kinds) == 1 and class_of(hint) in _SEQUENCES:
        yield from ((index, item, kinds[0]) for index, item in enumerate(value[:_ENTRIES]))


def class_of(hint: Any) -> type:
    """Return the class that an annotation names: Mapping[str, int] is a Mapping, Float[Tensor, "atoms"] a Tensor."""
    hint = getattr(hint, "array_type", hint)
    named = typing.get_origin(hint) or hint
    return named if isinstance(named, type) else object


def _expected(hint: Any) -> str:
    kind = class_of(hint)
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    return _with_article(kind.__name__)


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeio' else 'a'} {name}"
