"""Checks of plain arguments: sizes, choices and physical scales."""

import math
from collections.abc import Iterable, Mapping, Sequence

from torch import nn


def check_sizes(**sizes: int) -> None:
    """Check that sizes are positive, each given by its name.

    Raises:
        TypeError: a size is no whole number.
        ValueError: a size is below 1.
    """
    for name, size in sizes.items():
        if isinstance(size, str | float):
            raise TypeError(f"{name} must be a whole number; got {size!r}.")
        if size < 1:
            raise ValueError(f"{name} must be at least 1; got {size}.")


def check_choice(name: str, value: object, choices: Sequence[str | None]) -> None:
    """Check that an argument is one of its choices.

    Raises:
        ValueError: it is none of them.
    """
    if value not in choices:
        *others, last = (f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in choices)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name} must be {listed}; got {value!r}.")


def check_std(name: str, value: float, unit: str) -> None:
    """Check that a standard deviation, or a similar scale, is finite and not negative.

    Raises:
        ValueError: it is negative, infinite or NaN.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must not be negative or infinite ({unit}); got {value}.")


def check_probability(name: str, value: float) -> None:
    """Check that a number is a probability.

    Raises:
        ValueError: it does not lie in 0..1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in 0..1, as a probability; got {value}.")


def check_heads(hidden_channels: int, num_heads: int) -> None:
    """Check that channels can be divided among attention heads.

    Raises:
        ValueError: `hidden_channels` is not a multiple of `num_heads`, or one of them is below 1.
    """
    check_sizes(hidden_channels=hidden_channels, num_heads=num_heads)
    if hidden_channels % num_heads:
        raise ValueError(f"hidden_channels must be a multiple of num_heads; got {hidden_channels} and {num_heads}.")


def check_channels(user: str, found: int, expected: int) -> None:
    """Check that features have the width that a module was made for.

    Raises:
        ValueError: they have another.
    """
    if found != expected:
        raise ValueError(
            f"{user} was made for features of {expected} channels; got {found}. Make it, or the method it belongs to, "
            f"with {found} channels (encoder.out_channels), or project the features (molspectra.layers.ProjectionMLP)."
        )


def check_weights(weights: Mapping[str, float] | None, default: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of losses, or the default if none are given.

    Raises:
        ValueError: they are not of exactly the losses of the default.
    """
    if weights is None:
        return dict(default)
    if set(weights) != set(default):
        *others, last = (f'"{name}"' for name in default)
        names = f"{', '.join(others)} and {last}" if others else last
        raise ValueError(f"weights must be of {names}; got {list(weights)}. Give 0 to a loss to leave it out.")
    return dict(weights)


def check_module_names(argument: str, names: Iterable[str]) -> None:
    """Check that names can be those of modules in an `nn.ModuleDict`, at least one.

    Raises:
        ValueError: there are none, or a name contains a dot or is that of an attribute of the dict.
    """
    names = list(names)
    if not names:
        raise ValueError(f"{argument} is empty; expected at least one entry.")
    if refused := [name for name in names if not name or "." in name or hasattr(nn.ModuleDict, name)]:
        raise ValueError(
            f"Names in {argument} become names of modules, which cannot contain a dot or be an attribute of "
            f"nn.ModuleDict; got {refused}. Choose others."
        )
