"""Checks of plain arguments: sizes, choices and physical scales."""

import math
from collections.abc import Sequence


def check_sizes(**sizes: int) -> None:
    """Check that sizes are positive, each given by its name.

    Raises:
        ValueError: a size is below 1.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1; got {size}.")


def check_choice(name: str, value: object, choices: Sequence[str | None]) -> None:
    """Check that an argument is one of its choices, at least two.

    Raises:
        ValueError: it is none of them.
    """
    if value not in choices:
        *others, last = (f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}; got {value!r}.")


def check_std(name: str, value: float, unit: str) -> None:
    """Check that a standard deviation, or a similar scale, is finite and not negative.

    Raises:
        ValueError: it is negative, infinite or NaN.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must not be negative or infinite ({unit}); got {value}.")


def check_heads(hidden_channels: int, num_heads: int) -> None:
    """Check that channels can be divided among attention heads.

    Raises:
        ValueError: `hidden_channels` is not a multiple of `num_heads`.
    """
    if hidden_channels % num_heads:
        raise ValueError(f"hidden_channels must be a multiple of num_heads; got {hidden_channels} and {num_heads}.")
