"""Geometric ladders of noise scales."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._validation import check_sizes, values_are_free


def check_ladder(max_std: float, min_std: float, num_levels: int) -> None:
    """Check the ends of a ladder in Å and its number of levels.

    Raises:
        ValueError: The scales are not 0 < min_std ≤ max_std < ∞, or `num_levels` is below 1.
    """
    if not 0 < min_std <= max_std < math.inf:
        raise ValueError(
            f"Scales must be 0 < min_std <= max_std < inf (Å); got min_std={min_std} and max_std={max_std}."
        )
    check_sizes(num_levels=num_levels)


def check_levels(noise_level: Tensor, num_molecules: int, num_levels: int) -> None:
    """Check that each molecule has a level of a ladder.

    Raises:
        TypeError: The levels are not int64.
        ValueError: The number of levels is not that of molecules, or a level is out of range (checked for CPU tensors).
    """
    if noise_level.shape != (num_molecules,):
        raise ValueError(
            f"noise_level must have shape ({num_molecules},), one level per molecule; got "
            f"{tuple(noise_level.shape)}. Call the noise itself to draw them."
        )
    if noise_level.dtype != torch.int64:
        raise TypeError(f"noise_level must be int64; got {noise_level.dtype}. Convert with noise_level.long().")
    if values_are_free(noise_level) and bool(((noise_level < 0) | (noise_level >= num_levels)).any()):
        raise ValueError(
            f"noise_level must lie in 0..{num_levels - 1}; got {int(noise_level.min())} to {int(noise_level.max())}."
        )


def scale_of(
    noise_level: Int[Tensor, "*levels"], max_std: float, min_std: float, num_levels: int
) -> Float[Tensor, "*levels"]:
    """Return the scales σ of levels in Å, float32: `max_std` at level 0, `min_std` at the last, with equal ratios."""
    # Computed in float64 and rounded to float32, as the released tables of scales.
    ratio = min_std / max_std
    return (max_std * ratio ** (noise_level.double() / max(num_levels - 1, 1))).float()
