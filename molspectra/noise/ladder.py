"""Geometric ladders of noise scales."""

import math

from jaxtyping import Float, Int
from torch import Tensor

from molspectra._validation import check_sizes


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


def scale_of(
    noise_level: Int[Tensor, "*levels"], max_std: float, min_std: float, num_levels: int
) -> Float[Tensor, "*levels"]:
    """Return the scales σ of levels in Å, float32: `max_std` at level 0, `min_std` at the last, with equal ratios."""
    # Computed in float64 and rounded to float32, as the released tables of scales.
    ratio = min_std / max_std
    return (max_std * ratio ** (noise_level.double() / max(num_levels - 1, 1))).float()
