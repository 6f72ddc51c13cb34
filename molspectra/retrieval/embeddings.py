"""Embeddings as checked tensors, their lengths, and blocks of their rows."""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

ROWS = 16_384
"""Rows that are processed together: a block of float32 embeddings of 256 channels is 16 MiB."""


def as_embeddings(name: str, embeddings: Float[Tensor, "rows channels"] | np.ndarray) -> Float[Tensor, "rows channels"]:
    """Return embeddings as a tensor (rows, F) without gradient, which shares memory with them unless they are float64.

    Args:
        name: Name of the argument, for messages.
        embeddings: Tensor or array.

    Raises:
        TypeError: they are not floating point.
        ValueError: they have another shape, or a row has a NaN or an infinite value.
    """
    tensor = torch.as_tensor(_as_tensor(embeddings)).detach()
    if tensor.dim() != 2:
        raise ValueError(
            f"{name} must have shape (rows, F); got {tuple(tensor.shape)}. For a single vector use {name}[None]."
        )
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point; got {tensor.dtype}. Convert with {name}.float().")
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    # Block by block: isfinite of a mapped library at once would hold a mask of its size in memory.
    for first, block in blocks(tensor):
        finite = block.isfinite().all(dim=1)
        if not bool(finite.all()):
            row = first + int((~finite).nonzero()[0])
            raise ValueError(
                f"{name} must be finite (in float32); row {row} is not. Drop the rows without an embedding, such as "
                "molecules without a spectrum, or look for the loss that diverged."
            )
    return tensor


def blocks(tensor: Tensor, rows: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row and the rows of each block of a tensor, by default of ROWS rows."""
    rows = rows or ROWS
    for first in range(0, tensor.shape[0], rows):
        yield first, tensor[first : first + rows]


def inverse_norms(embeddings: Float[Tensor, "rows channels"]) -> Float[Tensor, " rows"]:
    """Return 1 / |x| of each row in float32, and 0 for zero vectors (shorter than 1e-30), which then match nothing."""
    inverse = torch.empty(embeddings.shape[0], dtype=torch.float32, device=embeddings.device)
    for first, block in blocks(embeddings):
        norm = torch.linalg.vector_norm(block, dim=1, dtype=torch.float64)  # squares of float32 may overflow float32
        inverse[first : first + block.shape[0]] = torch.where(norm > 1e-30, 1 / norm, 0.0)
    return inverse


def normalized(embeddings: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows channels"]:
    """Return rows scaled to length 1 in float32. Zero vectors stay zero."""
    return embeddings.float() * inverse_norms(embeddings).unsqueeze(1)


def _as_tensor(embeddings: Float[Tensor, "rows channels"] | np.ndarray) -> Tensor:
    """Return an array as a tensor, without a copy even if it is read-only, as nothing here writes to it."""
    if isinstance(embeddings, Tensor):
        return embeddings
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(embeddings))
