"""Confidence intervals of means over queries."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor


class Estimate(NamedTuple):
    """Mean over the queries, and its confidence interval."""

    value: float
    """Mean over the queries."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_means(
    values: Float[Tensor, "measures queries"], resamples: int, confidence: float, seed: int
) -> list[Estimate]:
    """Estimate means over the queries with percentile-bootstrap intervals. All measures share the resampled queries.

    Args:
        values: (n, Q).
        resamples: Number of times that Q queries are drawn with replacement.
        confidence: Share of the resampled means that the interval holds.
        seed: Seed of the draws.

    Returns:
        One estimate for each measure. The interval is NaN for a single query, which has no spread.
    """
    numbers = values.double().cpu().numpy()
    queries = numbers.shape[1]
    if queries == 1:
        return [Estimate(float(value), float("nan"), float("nan")) for value in numbers[:, 0]]
    generator = np.random.default_rng(seed)
    rows = max(1, 2**20 // queries)  # resamples at a time: 8 MiB of numbers of queries
    means = [
        numbers[:, generator.integers(queries, size=(min(rows, resamples - first), queries))].mean(axis=2)
        for first in range(0, resamples, rows)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means, axis=1), [tail, 1 - tail], axis=1)
    return [Estimate(*map(float, row)) for row in zip(numbers.mean(axis=1), low, high, strict=True)]
