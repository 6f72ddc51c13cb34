"""Best rows of a library for each query, and their selection from scores."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._repr import fields_repr, html_table


class Matches(NamedTuple):
    """Best rows of a library for each query, best first."""

    scores: Float[Tensor, "queries k"]
    """Similarities in float32."""
    indices: Int[Tensor, "queries k"]
    """Numbers of the rows, int64. -1 where a query has fewer candidates."""

    def __repr__(self) -> str:
        return fields_repr(self)

    def _repr_html_(self) -> str:
        more = f", the first {_TABLE_ROWS}" if self.scores.numel() > _TABLE_ROWS else ""
        return html_table(f"{self!r}{more}", ("query", "rank", "row", "score"), _table(self))


_TABLE_ROWS = 20


def _table(matches: Matches) -> list[tuple[int, int, int, str]]:
    """Return query, rank, row and score of the first matches."""
    scores, indices = matches.scores.tolist(), matches.indices.tolist()
    entries = [
        (query, rank, row, f"{score:.4f}")
        for query, found in enumerate(zip(indices, scores, strict=True))
        for rank, (row, score) in enumerate(zip(*found, strict=True), 1)
    ]
    return entries[:_TABLE_ROWS]


def best_of(scores: Float[Tensor, "queries rows"], k: int) -> Matches:
    """Return the k largest scores of each query, in descending order. Among equal scores the first are taken.

    torch.topk alone takes any of several equal scores, so that results would depend on the device.
    """
    values, indices = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    # Only a tie between the k-th score and the next leaves a choice.
    tied = values[:, k - 1] == values[:, -1] if values.shape[1] > k else values.new_zeros(len(values), dtype=torch.bool)
    values, indices = values[:, :k], indices[:, :k]
    if bool(tied.any()):
        indices[tied] = _first_of_equals(scores[tied], values[tied, -1:], k)
    # In the order of rows first, so that the stable sort by score leaves equals in that order.
    indices = indices.sort(dim=1).values
    ordered = scores.gather(1, indices).sort(dim=1, descending=True, stable=True)
    return Matches(ordered.values, indices.gather(1, ordered.indices))


def merge(before: Matches, found: Matches, k: int) -> Matches:
    """Return the k best of both. Among equal scores, those of `before` are taken, whose rows come first."""
    scores, indices = (torch.cat(pair, dim=1) for pair in zip(before, found, strict=True))
    ordered = scores.sort(dim=1, descending=True, stable=True)
    return Matches(ordered.values[:, :k], indices.gather(1, ordered.indices[:, :k]))


def _first_of_equals(
    scores: Float[Tensor, "queries rows"], last: Float[Tensor, "queries 1"], k: int
) -> Int[Tensor, "queries k"]:
    """Return the rows of the k largest scores, given the k-th of them. Among rows equal to it the first are taken."""
    larger, equal = scores > last, scores == last
    # The first `wanted` of the equals fill the places that the larger ones leave.
    wanted = k - larger.sum(dim=1, keepdim=True)
    kept = larger | (equal & (equal.cumsum(dim=1) <= wanted))
    return kept.nonzero()[:, 1].view(-1, k)
