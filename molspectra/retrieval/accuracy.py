"""How often the right row is among the best."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._validation import check_sizes
from molspectra.retrieval.scoring import (
    Similarity,
    as_embeddings,
    blocks,
    check_similarity,
    normalized,
    score,
)


@torch.no_grad()
def topk_accuracy(
    queries: Float[Tensor, "queries channels"] | np.ndarray,
    library: Float[Tensor, "library channels"] | np.ndarray,
    targets: Int[Tensor, " queries"] | Sequence[int] | np.ndarray | None = None,
    ks: Sequence[int] = (1, 5, 10),
    *,
    similarity: Similarity = "cosine",
) -> dict[int, float]:
    """The share of queries whose own row of the library is among the k most similar.

    For the other direction swap queries and library. Rows as similar as the right one stand before it in half of all
    orders, so that embeddings that are all alike score as chance does, k / M, and not 1.

    Args:
        queries: (Q, F), tensor or array.
        library: (M, F), on the same device.
        targets: The right row of each query, (Q,) int64; by default the row of the same number.
        ks: How many rows to count as found.
        similarity: "cosine" or "dot".

    Returns:
        k → share in 0..1, in the order of `ks`; 1 where k ≥ M.

    Raises:
        TypeError: embeddings are not floating point.
        ValueError: there are no queries, a k is not positive, a value is not finite, or the shapes or targets do not
            fit.

    Example:
        >>> spectra, molecules = torch.eye(4), torch.eye(4)[[0, 1, 3, 2]]
        >>> ms.retrieval.topk_accuracy(spectra, molecules, ks=(1, 4))
        {1: 0.5, 4: 1.0}
    """
    check_similarity(similarity)
    for k in ks:
        check_sizes(k=k)
    queries, library = as_embeddings("queries", queries), as_embeddings("library", library)
    given = None if targets is None else torch.as_tensor(targets, device=queries.device)
    targets = _checked_targets(queries, library, given)
    if similarity == "cosine":
        queries, library = normalized(queries), normalized(library)
    shares = []
    for first, block in blocks(queries.float(), 1024):
        better, equal = _rivals(block, library, targets[first : first + block.shape[0]])
        # Of the equal + 1 places that the right row may have, those below k count.
        shares.append(torch.stack([((k - better) / (equal + 1)).clamp(0, 1) for k in ks], dim=1))
    means = torch.cat(shares).mean(dim=0, dtype=torch.float64) if len(ks) else torch.empty(0)
    return dict(zip(ks, means.tolist(), strict=True))


def _rivals(
    queries: Float[Tensor, "queries channels"],
    library: Float[Tensor, "rows channels"],
    targets: Int[Tensor, " queries"],
) -> tuple[Int[Tensor, " queries"], Int[Tensor, " queries"]]:
    """How many rows are more similar than the right one, and how many others are as similar."""
    query = torch.arange(len(queries), device=queries.device)
    own, longest = queries.new_empty(len(queries)), queries.new_zeros(())
    # The right row's similarity is read from the same product that the others are, which it must equal if they do.
    for first, rows in blocks(library):
        here = (targets >= first) & (targets < first + rows.shape[0])
        longest = torch.maximum(longest, rows.float().norm(dim=1).amax())
        own[here] = score(queries, rows, None)[query[here], targets[here] - first]
    # The product of equal rows may differ in the last digits, depending on where in a block they stand.
    rounding = 8 * torch.finfo(own.dtype).eps * torch.maximum(own.abs(), queries.norm(dim=1) * longest)
    better, equal = torch.zeros_like(targets), torch.full_like(targets, -1)
    for _, rows in blocks(library):
        above = score(queries, rows, None) - own.unsqueeze(1)
        better += (above > rounding.unsqueeze(1)).sum(dim=1)
        equal += (above.abs() <= rounding.unsqueeze(1)).sum(dim=1)
    return better, equal


def _checked_targets(queries: Tensor, library: Tensor, targets: Tensor | None) -> Int[Tensor, " queries"]:
    """The right row of each query.

    Raises:
        ValueError: shapes or rows do not fit.
    """
    if queries.shape[0] == 0:
        raise ValueError("queries holds no rows; expected at least one to take a mean over.")
    if queries.shape[1] != library.shape[1]:
        raise ValueError(
            f"queries and library must have one width; got {queries.shape[1]} and {library.shape[1]}. Project them "
            "(molspectra.layers.ProjectionMLP)."
        )
    if targets is None:
        if library.shape[0] < queries.shape[0]:
            raise ValueError(
                f"library must have a row for each query; got {library.shape[0]} for {queries.shape[0]}. Say with "
                "targets= which row belongs to which query."
            )
        return torch.arange(queries.shape[0], device=queries.device)
    if targets.shape != queries.shape[:1]:
        raise ValueError(f"targets must have shape ({queries.shape[0]},), a row a query; got {tuple(targets.shape)}.")
    if bool(((targets < 0) | (targets >= library.shape[0])).any()):
        raise ValueError(
            f"targets must be rows 0..{library.shape[0] - 1} of the library; got values from {int(targets.min())} to "
            f"{int(targets.max())}."
        )
    return targets.to(queries.device)
