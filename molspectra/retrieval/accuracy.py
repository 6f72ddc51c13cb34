"""Share of queries whose right row is among the best."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._validation import check_sizes, checked
from molspectra.retrieval.embeddings import as_embeddings
from molspectra.retrieval.ranks import rank
from molspectra.retrieval.scoring import Similarity, check_similarity


@checked
@torch.no_grad()
def topk_accuracy(
    queries: Float[Tensor, "queries channels"] | np.ndarray,
    library: Float[Tensor, "library channels"] | np.ndarray,
    targets: Int[Tensor, " queries"] | Sequence[int] | np.ndarray | None = None,
    ks: Sequence[int] = (1, 5, 10),
    *,
    similarity: Similarity = "cosine",
) -> dict[int, float]:
    """Compute the share of queries whose right row of the library is among the k most similar.

    For the other direction swap queries and library. Ties are counted by the probability that a random order of equal
    rows puts the right one among the first k. Embeddings that are all alike therefore score k / M, as chance does.

    Args:
        queries: (Q, F), tensor or array.
        library: (M, F), on the same device.
        targets: The right row of each query, (Q,) int64, by default the row with the number of the query.
        ks: Numbers k of best rows.
        similarity: "cosine" or "dot".

    Returns:
        k → share in 0..1, in the order of `ks`. It is 1 where k ≥ M.

    Raises:
        TypeError: embeddings are not floating point.
        ValueError: the queries are empty, a k is not positive, a value is not finite, or the shapes or targets do not
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
    ranks = rank(queries, library, checked_targets(queries, library, given), similarity, seed=None)
    return {k: ranks.hits(k).mean(dtype=torch.float64).item() for k in ks}


def checked_targets(queries: Tensor, library: Tensor, targets: Tensor | None) -> Int[Tensor, " queries"]:
    """Return the right row of each query.

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
        raise ValueError(
            f"targets must have shape ({queries.shape[0]},), one row per query; got {tuple(targets.shape)}."
        )
    if bool(((targets < 0) | (targets >= library.shape[0])).any()):
        raise ValueError(
            f"targets must be rows 0..{library.shape[0] - 1} of the library; got values from {int(targets.min())} to "
            f"{int(targets.max())}."
        )
    return targets.to(queries.device)
