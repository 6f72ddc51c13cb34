"""Similarities of queries and rows of a library."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._validation import check_choice

Similarity = Literal["cosine", "dot"]


def check_similarity(similarity: str) -> None:
    """Check that a similarity is known.

    Raises:
        ValueError: it is neither "cosine" nor "dot".
    """
    check_choice("similarity", similarity, ("cosine", "dot"))


def score(
    queries: Float[Tensor, "queries channels"],
    rows: Float[Tensor, "rows channels"],
    scale: Float[Tensor, " rows"] | None,
) -> Float[Tensor, "queries rows"]:
    """Return q · x in float32, times the scale of each row x if given, such as 1 / |x| for the cosine."""
    # Half precision would round away the differences that decide the order of the best rows.
    with torch.autocast(queries.device.type, enabled=False):
        scores = queries @ rows.float().T
    return scores if scale is None else scores.mul_(scale)
