"""Place of the right row among the candidates of each query, and the first hit, where equal rows are not ordered."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from molspectra.retrieval.embeddings import blocks, normalized
from molspectra.retrieval.masks import BlockMask
from molspectra.retrieval.scoring import Similarity, score

QUERIES = 1024
"""Queries that are ranked together: 64 MiB of scores with a block of the library."""


class Ranks(NamedTuple):
    """Place of the right row of each query: it has one of `equal` + 1 ranks, from `better` + 1 on."""

    better: Int[Tensor, " queries"]
    """Candidates that are more similar than the right row."""
    equal: Int[Tensor, " queries"]
    """Other candidates that are as similar."""
    found: Bool[Tensor, " queries"]
    """True where the right row is among the candidates."""
    candidates: Int[Tensor, " queries"]
    """Numbers of candidates."""
    first: Int[Tensor, " queries"]
    """The most similar candidate, drawn from those that are equally similar, or -1 without candidates or a draw."""

    def hits(self, k: int) -> Float[Tensor, " queries"]:
        """Return the probability that a random order of equal rows puts the right one among the first k."""
        return ((k - self.better).double() / (self.equal + 1)).clamp(0, 1) * self.found

    def reciprocal(self) -> Float[Tensor, " queries"]:
        """Return the mean of 1 / rank over all orders of equal rows, and 0 where the right row is no candidate."""
        # The sum of 1 / r for r = a + 1, ..., b is ψ(b + 1) - ψ(a + 1), as in the harmonic numbers.
        first, last = self.better.double() + 1, self.better.double() + self.equal + 2
        mean = (torch.digamma(last) - torch.digamma(first)) / (self.equal + 1)
        return torch.where(self.equal == 0, 1 / first, mean) * self.found


@torch.no_grad()
def rank(
    queries: Float[Tensor, "queries channels"],
    library: Float[Tensor, "library channels"],
    targets: Int[Tensor, " queries"],
    similarity: Similarity,
    mask: BlockMask | None = None,
    seed: int | None = 0,
) -> Ranks:
    """Rank the right row of each query among its candidates, by matrix products in blocks of queries and library.

    Args:
        queries: (Q, F).
        library: (M, F), on the same device.
        targets: The right row of each query, (Q,) int64.
        similarity: "cosine" or "dot".
        mask: Candidates of each query, by default the whole library.
        seed: Seed of the draw among equally similar first hits. None leaves the first hits out, which saves time.
    """
    generator = None if seed is None else torch.Generator(queries.device).manual_seed(seed)
    asked = normalized(queries) if similarity == "cosine" else queries.float()
    parts = []
    for first, block in blocks(asked, QUERIES):
        number = torch.arange(first, first + block.shape[0], device=queries.device)
        parts.append(_Block(block, number, library, targets[number], similarity, mask).rank(generator))
    return Ranks(*map(torch.cat, zip(*parts, strict=True)))


class _Block(NamedTuple):
    """Some queries with their numbers and right rows, and what they are compared with."""

    queries: Tensor
    numbers: Tensor
    library: Tensor
    targets: Tensor
    similarity: Similarity
    mask: BlockMask | None

    def rank(self, generator: torch.Generator | None) -> Ranks:
        """Rank in two passes: similarities of the right and of the best rows, then counts of those above them."""
        own, best, rounding, found, candidates = self._similarities()
        # From -found, as the right row itself is among the equals.
        better, equal = torch.zeros_like(self.targets), -found.long()
        first, tied = torch.full_like(self.targets, -1), torch.zeros_like(self.targets)
        for row, scores, allowed in self._scores():
            above = scores - own.unsqueeze(1)
            larger, close = above > rounding.unsqueeze(1), above.abs() <= rounding.unsqueeze(1)
            better += (larger if allowed is None else larger & allowed).sum(dim=1)
            equal += (close if allowed is None else close & allowed).sum(dim=1)
            if generator is None:
                continue
            as_best = scores >= (best - rounding).unsqueeze(1)
            as_best = as_best if allowed is None else as_best & allowed
            here = as_best.sum(dim=1)
            tied += here
            # Each of the equals is kept with the same probability, whichever block it lies in.
            draw = torch.rand(len(here), dtype=torch.float64, device=own.device, generator=generator) * tied < here
            if bool(draw.any()):
                first[draw] = row[torch.multinomial(as_best[draw].float(), 1, generator=generator).squeeze(1)]
        return Ranks(better, equal.clamp(min=0), found, candidates, first)

    def _similarities(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the similarity of the right row and of the best, their rounding, whether it is there, and counts."""
        own, found = self.queries.new_empty(len(self.queries)), torch.zeros_like(self.targets, dtype=torch.bool)
        best, longest = torch.full_like(own, -torch.inf), own.new_zeros(())
        candidates = torch.zeros_like(self.targets)
        # The right row's similarity comes from the same matrix products as the others', so that equal rows score
        # equally.
        for row, scores, allowed in self._scores():
            query = ((self.targets >= row[0]) & (self.targets <= row[-1])).nonzero().squeeze(1)
            column = self.targets[query] - row[0]
            own[query] = scores[query, column]
            found[query] = True if allowed is None else allowed[query, column]
            candidates += len(row) if allowed is None else allowed.sum(dim=1)
            considered = scores if allowed is None else scores.masked_fill(~allowed, -torch.inf)
            best = torch.maximum(best, considered.amax(dim=1))
            if self.similarity == "dot":
                longest = torch.maximum(longest, self.library[row[0] : row[-1] + 1].float().norm(dim=1).amax())
        longest = longest if self.similarity == "dot" else torch.ones_like(longest)
        # Products of equal rows may differ in the last digits, depending on their position in a block.
        rounding = 8 * torch.finfo(own.dtype).eps * torch.maximum(own.abs(), self.queries.norm(dim=1) * longest)
        return own, best, rounding, found, candidates

    def _scores(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Yield the numbers of each block of rows, the similarities to them, and which of them are candidates."""
        for first, rows in blocks(self.library):
            row = torch.arange(first, first + rows.shape[0], device=rows.device)
            scores = score(self.queries, normalized(rows) if self.similarity == "cosine" else rows, None)
            yield row, scores, None if self.mask is None else self.mask(self.numbers, row)
