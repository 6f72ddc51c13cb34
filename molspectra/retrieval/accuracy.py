"""Share of queries whose right row is among the best."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._validation import check_sizes
from molspectra.retrieval.embeddings import as_embeddings, blocks, normalized
from molspectra.retrieval.scoring import Similarity, check_similarity, score


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
    targets = _checked_targets(queries, library, given)
    if similarity == "cosine":
        queries, library = normalized(queries), normalized(library)
    shares = []
    for first, block in blocks(queries.float(), 1024):
        better, equal = _rivals(block, library, targets[first : first + block.shape[0]])
        # The right row is at one of equal + 1 ranks, from `better` on, with equal probability.
        shares.append(torch.stack([((k - better) / (equal + 1)).clamp(0, 1) for k in ks], dim=1))
    means = torch.cat(shares).mean(dim=0, dtype=torch.float64) if len(ks) else torch.empty(0)
    return dict(zip(ks, means.tolist(), strict=True))


def _rivals(
    queries: Float[Tensor, "queries channels"],
    library: Float[Tensor, "rows channels"],
    targets: Int[Tensor, " queries"],
) -> tuple[Int[Tensor, " queries"], Int[Tensor, " queries"]]:
    """Count the rows that are more similar than the right one, and the others that are as similar."""
    query = torch.arange(len(queries), device=queries.device)
    own, longest = queries.new_empty(len(queries)), queries.new_zeros(())
    # The right row's similarity comes from the same matrix products as the others', so that equal rows score equally.
    for first, rows in blocks(library):
        here = (targets >= first) & (targets < first + rows.shape[0])
        longest = torch.maximum(longest, rows.float().norm(dim=1).amax())
        own[here] = score(queries, rows, None)[query[here], targets[here] - first]
    # Products of equal rows may differ in the last digits, depending on their position in a block.
    rounding = 8 * torch.finfo(own.dtype).eps * torch.maximum(own.abs(), queries.norm(dim=1) * longest)
    # From -1, as the right row itself is among the equals.
    better, equal = torch.zeros_like(targets), torch.full_like(targets, -1)
    for _, rows in blocks(library):
        above = score(queries, rows, None) - own.unsqueeze(1)
        better += (above > rounding.unsqueeze(1)).sum(dim=1)
        equal += (above.abs() <= rounding.unsqueeze(1)).sum(dim=1)
    return better, equal


def _checked_targets(queries: Tensor, library: Tensor, targets: Tensor | None) -> Int[Tensor, " queries"]:
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
