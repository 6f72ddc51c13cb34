"""Conditioning of a model from elsewhere on a context."""

from torch import Tensor


def add_to_embedding(embedded: Tensor, context: Tensor | None) -> Tensor:
    """Add a context to the embedding of the elements.

    Args:
        embedded: Embedding of the elements (N, in).
        context: Context (N, F), or None.

    Returns:
        The sum, (N, in).

    Raises:
        ValueError: The widths F and in differ.
    """
    if context is None:
        return embedded
    if context.shape != embedded.shape:
        raise ValueError(
            f"context (N, F) is added to the embedding of the elements, {tuple(embedded.shape)}; got "
            f"{tuple(context.shape)}. Build the model with features as wide as its embedding (DimeNetPlusPlus: "
            "out_emb_channels=hidden_channels; graph networks: out_channels=in_channels)."
        )
    return embedded + context.to(embedded.dtype)
