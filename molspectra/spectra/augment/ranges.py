"""Ranges of the parameters of augmentations, and values drawn from them, one per spectrum."""

import math
from typing import TypeAlias

import torch
from torch import Tensor

Range: TypeAlias = float | tuple[float, float] | list[float]
"""One value, or the lowest and the highest of the values to draw from."""


def check_range(
    name: str, value: object, unit: str = "", low: float = -math.inf, high: float = math.inf, open_low: bool = False
) -> tuple[float, float]:
    """Return a range as a pair of floats.

    Args:
        name: Name of the argument, for errors.
        value: A number, or a pair (lowest, highest).
        unit: Unit, for errors.
        low: Smallest value allowed.
        high: Largest value allowed.
        open_low: Refuse `low` itself.

    Raises:
        TypeError: `value` is neither a number nor a pair of numbers.
        ValueError: the pair descends, or a value is not finite or not allowed.
    """
    given = list(value) if isinstance(value, tuple | list) else [value, value]
    pair = [part for part in given if isinstance(part, int | float) and not isinstance(part, bool)]
    if len(given) != 2 or len(pair) != 2:
        raise TypeError(f"{name} must be a number or a pair (lowest, highest){_in(unit)}; got {value!r}.")
    lowest, highest = float(pair[0]), float(pair[1])
    if not (math.isfinite(lowest) and math.isfinite(highest) and lowest <= highest):
        raise ValueError(f"{name} must be finite and ascend from lowest to highest{_in(unit)}; got {value!r}.")
    if lowest < low or highest > high or (open_low and lowest == low):
        lower = "" if low == -math.inf else f" {'greater than' if open_low else 'at least'} {low:g}"
        upper = "" if high == math.inf else f" at most {high:g}"
        raise ValueError(f"{name} must be{' and'.join(filter(None, [lower, upper]))}{_in(unit)}; got {value!r}.")
    return lowest, highest


def draw(
    values: tuple[float, float], spectra: Tensor, generator: torch.Generator | None, logarithmic: bool = False
) -> Tensor:
    """Draw one value per spectrum, (B, 1), uniform in the range or in its logarithm."""
    low, high = values
    part = uniform((spectra.shape[0], 1), spectra, generator)
    return low * (high / low) ** part if logarithmic else low + (high - low) * part


def uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw numbers in [0, 1) with the dtype and on the device of a tensor."""
    return torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)


def normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw numbers of the standard normal distribution with the dtype and on the device of a tensor."""
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""
