"""Similarities of queries and the rows of a library, a block at a time."""

import warnings
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Similarity = Literal["cosine", "dot"]

ROWS = 16_384
"""Rows that are looked at together: a block of float32 embeddings of 256 channels is 16 MiB."""


def check_similarity(similarity: str) -> None:
    """Refuse a similarity that there is not.

    Raises:
        ValueError: it is neither "cosine" nor "dot".
    """
    if similarity not in ("cosine", "dot"):
        raise ValueError(f'similarity must be "cosine" or "dot"; got {similarity!r}.')


def as_embeddings(name: str, embeddings: Float[Tensor, "rows channels"] | np.ndarray) -> Float[Tensor, "rows channels"]:
    """A tensor (rows, F) without gradient, which shares memory with what was given unless that is float64.

    Raises:
        TypeError: they are not floating point.
        ValueError: they have another shape, or a row has a NaN or an infinite value.
    """
    tensor = torch.as_tensor(_writeable(embeddings)).detach()
    if tensor.dim() != 2:
        raise ValueError(
            f"{name} must have shape (rows, F); got {tuple(tensor.shape)}. For a single vector use {name}[None]."
        )
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point; got {tensor.dtype}. Convert with {name}.float().")
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    for first, block in blocks(tensor):
        finite = block.isfinite().all(dim=1)
        if not bool(finite.all()):
            row = first + int((~finite).nonzero()[0])
            raise ValueError(
                f"{name} must be finite (in float32); row {row} is not. Drop the rows without an embedding, such as "
                "molecules without a spectrum, or look for the loss that diverged."
            )
    return tensor


def blocks(tensor: Tensor, rows: int = ROWS) -> Iterator[tuple[int, Tensor]]:
    """First row and rows of each block of a tensor."""
    for first in range(0, tensor.shape[0], rows):
        yield first, tensor[first : first + rows]


def inverse_norms(embeddings: Float[Tensor, "rows channels"]) -> Float[Tensor, " rows"]:
    """1 / |x| of each row in float32; 0 of zero vectors (shorter than 1e-30), which are then like nothing."""
    inverse = torch.empty(embeddings.shape[0], device=embeddings.device)
    for first, block in blocks(embeddings):
        norm = torch.linalg.vector_norm(block, dim=1, dtype=torch.float64)  # squares of float32 may overflow float32
        inverse[first : first + block.shape[0]] = torch.where(norm > 1e-30, 1 / norm, 0.0)
    return inverse


def normalized(embeddings: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows channels"]:
    """Rows of length 1 in float32; zero vectors stay what they are."""
    return embeddings.float() * inverse_norms(embeddings).unsqueeze(1)


def score(
    queries: Float[Tensor, "queries channels"],
    rows: Float[Tensor, "rows channels"],
    scale: Float[Tensor, " rows"] | None,
) -> Float[Tensor, "queries rows"]:
    """q · x in float32, times what belongs to each row x, if anything."""
    with torch.autocast(queries.device.type, enabled=False):
        scores = queries @ rows.float().T
    return scores if scale is None else scores.mul_(scale)


def _writeable(embeddings: Float[Tensor, "rows channels"] | np.ndarray) -> Tensor:
    """As a tensor. A read-only array, as of a file that is mapped, is not copied: nothing here writes to it."""
    if isinstance(embeddings, Tensor):
        return embeddings
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(embeddings))
