"""Kinds of spectrum that an encoder is built for, and constructor arguments given for each kind."""

import copy
from collections.abc import Mapping
from typing import Any


def check_kinds(lengths: Mapping[str, int]) -> tuple[str, ...]:
    """Return the kinds of spectrum, in order.

    Raises:
        ValueError: `lengths` is empty, or a kind cannot be the name of a module.
    """
    if not lengths:
        raise ValueError("lengths is empty; expected at least one kind of spectrum, as in {'ir': 3501}.")
    if dotted := [kind for kind in lengths if "." in kind]:
        raise ValueError(f"Kinds of spectrum become names of modules and cannot contain a dot; got {dotted}.")
    return tuple(lengths)


def for_each(kinds: tuple[str, ...], name: str, value: object) -> dict[str, Any]:
    """Return one value per kind, from a single value or from a mapping with exactly these kinds.

    Raises:
        ValueError: the mapping has other kinds.
    """
    if not isinstance(value, Mapping):
        # Copied, since one module registered under several names would be trained and saved as several.
        return {kind: copy.deepcopy(value) for kind in kinds}
    if set(value) != set(kinds):
        raise ValueError(f"{name} must have the kinds {sorted(kinds)}, as lengths has; got {sorted(value)}.")
    return dict(value)
