"""Measures of retrieval as the literature reports them, with confidence intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._repr import html_table
from molspectra._validation import check_sizes, checked
from molspectra.retrieval.accuracy import checked_targets
from molspectra.retrieval.bootstrap import Estimate, bootstrap_means
from molspectra.retrieval.embeddings import as_embeddings
from molspectra.retrieval.likeness import mces_distance, morgan_fingerprints, parse_all, tanimoto
from molspectra.retrieval.masks import Mask, block_mask
from molspectra.retrieval.ranks import Ranks, rank
from molspectra.retrieval.scoring import Similarity, check_similarity


class Evaluation(NamedTuple):
    """Measures of a retrieval, with confidence intervals, and the ranks that they come from."""

    hit: dict[int, Estimate]
    """Share of queries whose right row is among the first k, by k."""
    mrr: Estimate
    """Mean of 1 / rank of the right row."""
    tanimoto: Estimate | None
    """Mean Tanimoto similarity of the first hit to the right molecule (Morgan, radius 2, 2048 bits)."""
    mces: Estimate | None
    """Mean MCES distance of the first hit to the right molecule."""
    chance: dict[int, float]
    """Share that a random order of each query's candidates would reach, by k."""
    rank: Float[Tensor, " queries"]
    """Rank of the right row, the mean over all orders of equal rows. Infinite where it is no candidate."""
    first: Int[Tensor, " queries"]
    """The first hit, or -1 without candidates."""
    candidates: Int[Tensor, " queries"]
    """Number of candidates."""

    @property
    def missing(self) -> int:
        """Number of queries whose right row is not among their candidates. They count as misses."""
        return int(self.rank.isinf().sum())

    def __repr__(self) -> str:
        measures = ", ".join(f"{name} {value}" for name, value, _ in self._rows())
        missing = f", {self.missing} without the right candidate" if self.missing else ""
        mean = self.candidates.double().mean().item()
        return f"Evaluation({measures}; {len(self.rank)} queries, {mean:.5g} candidates on average{missing})"

    def _repr_html_(self) -> str:
        caption = repr(self).partition("; ")[2].removesuffix(")")
        return html_table(caption, ("measure", "mean [interval]", "chance"), self._rows())

    def _rows(self) -> list[tuple[str, str, str]]:
        """Return name, estimate and chance level of each measure."""
        hits = [(f"hit@{k}", str(hit), f"{self.chance[k]:.3f}") for k, hit in self.hit.items()]
        others = (("MRR", self.mrr), ("Tanimoto", self.tanimoto), ("MCES", self.mces))
        return hits + [(name, str(value), "") for name, value in others if value is not None]


@checked
def evaluate(
    queries: Float[Tensor, "queries channels"] | np.ndarray,
    candidates: Float[Tensor, "library channels"] | np.ndarray,
    true: Int[Tensor, " queries"] | Sequence[int] | np.ndarray | None = None,
    k: Sequence[int] = (1, 5, 10),
    mask: Mask | None = None,
    *,
    smiles: Sequence[str] | None = None,
    mces: bool = False,
    mces_threshold: float = 15.0,
    similarity: Similarity = "cosine",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Measure how well queries retrieve their right rows: hit@k, mean reciprocal rank, likeness of the first hit.

    Equal rows have no order. Hit@k and 1 / rank are means over all orders, and the first hit is drawn from the equally
    similar ones. A query whose right row the mask leaves out is a miss. Without any candidate its Tanimoto similarity
    counts as 0, and its MCES distance as the threshold.

    Intervals are percentiles of a bootstrap over the queries. They have no width where all queries agree, and are too
    narrow where several queries belong to one molecule.

    Args:
        queries: Embeddings, (Q, F).
        candidates: Embeddings of the library, (M, F), on the same device.
        true: The right row of each query, (Q,), by default the row with the number of the query.
        k: Numbers of best rows for hit@k.
        mask: Candidates of each query, as in `Index.search`, by default the whole library.
        smiles: The molecule of each row of the library, (M), for the Tanimoto similarity of the first hit.
        mces: Measure the MCES distance of the first hit too. Each may take seconds. Needs `smiles` and myopic-mces.
        mces_threshold: Largest distance that is computed exactly. Larger ones are lower bounds.
        similarity: "cosine" or "dot".
        resamples: Number of bootstrap samples.
        confidence: Level of the intervals, between 0 and 1.
        seed: Seed of the bootstrap, and of draws among equal first hits.

    Raises:
        ImportError: RDKit is needed and not installed, or myopic-mces.
        TypeError: embeddings are not floating point, or the mask is not boolean.
        ValueError: shapes, rows, SMILES or settings do not fit.

    Example:
        >>> library = torch.eye(4)
        >>> result = ms.retrieval.evaluate(library[:3] + 0.5 * library[3], library, k=(1, 2))
        >>> result.hit[1].value, result.chance[1], result
        (1.0, 0.25, Evaluation(hit@1 1.000 [1.000, 1.000], hit@2 1.000 [1.000, 1.000], MRR 1.000 [1.000, 1.000];
        3 queries, 4 candidates on average))
    """
    check_similarity(similarity)
    check_sizes(**{f"k (entry {place})": value for place, value in enumerate(k)}, resamples=resamples)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1; got {confidence}. 95 % is 0.95.")
    if mces and smiles is None:
        raise ValueError("mces=True needs the molecules; got smiles=None. Give one SMILES for each row of the library.")
    asked, library = as_embeddings("queries", queries), as_embeddings("candidates", candidates)
    given = None if true is None else torch.as_tensor(true, device=asked.device)
    targets = checked_targets(asked, library, given)
    if smiles is not None and len(smiles) != len(library):
        raise ValueError(f"smiles must have one entry for each candidate; got {len(smiles)} for {len(library)}.")
    allowed = None if mask is None else block_mask(mask, len(asked), len(library), asked.device)
    ranks = Ranks(*(part.cpu() for part in rank(asked, library, targets, similarity, allowed, seed)))
    measured = {f"hit@{value}": ranks.hits(value) for value in k} | {"mrr": ranks.reciprocal()}
    if smiles is not None:
        measured["tanimoto"] = _tanimoto_of_first(smiles, targets.tolist(), ranks.first.tolist())
    if mces:
        assert smiles is not None
        measured["mces"] = _mces_of_first(smiles, targets.tolist(), ranks.first.tolist(), mces_threshold)
    values = torch.stack([column.double() for column in measured.values()])
    estimates = dict(zip(measured, bootstrap_means(values, resamples, confidence, seed), strict=True))
    return Evaluation(
        hit={value: estimates[f"hit@{value}"] for value in k},
        mrr=estimates["mrr"],
        tanimoto=estimates.get("tanimoto"),
        mces=estimates.get("mces"),
        chance={value: _chance(ranks, value) for value in k},
        rank=torch.where(ranks.found, ranks.better + 1 + ranks.equal.float() / 2, torch.inf),
        first=ranks.first,
        candidates=ranks.candidates,
    )


def _chance(ranks: Ranks, k: int) -> float:
    """Return the mean of k / number of candidates, 0 where the right row is not among them."""
    return (ranks.found * (k / ranks.candidates.double().clamp(min=1)).clamp(max=1)).mean().item()


def _tanimoto_of_first(smiles: Sequence[str], true: list[int], first: list[int]) -> Float[Tensor, " queries"]:
    """Return the Tanimoto similarity of each first hit to the right molecule."""
    rows = sorted({row for row in [*true, *first] if row >= 0})
    prints = dict(zip(rows, morgan_fingerprints(parse_all("smiles", [smiles[row] for row in rows])), strict=True))
    pairs = zip(true, first, strict=True)
    scores = [tanimoto(prints[row], [prints[hit]])[0] if hit >= 0 else 0.0 for row, hit in pairs]
    return torch.tensor(scores, dtype=torch.float64)


def _mces_of_first(
    smiles: Sequence[str], true: list[int], first: list[int], threshold: float
) -> Float[Tensor, " queries"]:
    """Return the MCES distance of each first hit to the right molecule."""
    pairs = [(smiles[row], smiles[hit]) if hit >= 0 else None for row, hit in zip(true, first, strict=True)]
    distances = {pair: mces_distance(*pair, threshold) if pair[0] != pair[1] else 0.0 for pair in set(pairs) if pair}
    return torch.tensor([distances[pair] if pair else threshold for pair in pairs], dtype=torch.float64)
