"""Molecules of a test set that the training set holds, or nearly holds."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._repr import html_table
from molspectra._validation import checked
from molspectra.retrieval.likeness import morgan_fingerprints, parse_all, skeleton_key, tanimoto

_TABLE_ROWS = 20


class Leakage(NamedTuple):
    """Nearest training molecule of each test molecule, and the test molecules that training has seen."""

    same: Int[Tensor, "same 2"]
    """Test molecules that the training set holds, each with the first training molecule of its InChIKey block."""
    nearest: Int[Tensor, " test"]
    """Training molecule with the highest Tanimoto similarity, the first of several."""
    similarity: Float[Tensor, " test"]
    """Tanimoto similarity to it (Morgan fingerprints of radius 2 and 2048 bits)."""
    threshold: float
    """Tanimoto similarity from which a test molecule is an offender."""

    @property
    def offenders(self) -> list[int]:
        """Test molecules that training has seen, or that are as similar to one as the threshold."""
        return sorted({*self.same[:, 0].tolist(), *(self.similarity >= self.threshold).nonzero()[:, 0].tolist()})

    def quantiles(self, shares: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> dict[float, float]:
        """Return quantiles of the similarity to the nearest training molecule, share → value."""
        values = self.similarity.double().quantile(torch.tensor(shares, dtype=torch.float64))
        return dict(zip(shares, values.tolist(), strict=True))

    def __repr__(self) -> str:
        return (
            f"Leakage({len(self.same)} of {len(self.nearest)} test molecules in training, {len(self.offenders)} "
            f"offenders at Tanimoto ≥ {self.threshold:g}, median {self.quantiles([0.5])[0.5]:.3f})"
        )

    def _repr_html_(self) -> str:
        seen, offenders = set(self.same[:, 0].tolist()), self.offenders
        more = f", the first {_TABLE_ROWS} offenders" if len(offenders) > _TABLE_ROWS else ""
        rows = [
            (test, int(self.nearest[test]), f"{self.similarity[test].item():.3f}", "yes" if test in seen else "")
            for test in offenders[:_TABLE_ROWS]
        ]
        return html_table(f"{self!r}{more}", ("test", "nearest in training", "Tanimoto", "same molecule"), rows)


@checked
def leakage(train: Sequence[str], test: Sequence[str], threshold: float = 0.85) -> Leakage:
    """Compare a test set with the training set, by InChIKey and by Tanimoto similarity.

    Molecules with one first block of the InChIKey count as the same: stereoisomers, isotopologues and most tautomers.
    All pairs are compared, about ten million in a second, and one row of them is in memory at a time.

    Args:
        train: SMILES of the training molecules.
        test: SMILES of the test molecules.
        threshold: Tanimoto similarity from which a test molecule is an offender.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: an argument is no sequence of texts.
        ValueError: a SMILES cannot be parsed, a set is empty, or the threshold is not within 0..1.

    Example:
        >>> ms.retrieval.leakage(train=["CCO", "c1ccccc1"], test=["OCC", "CCN"])
        Leakage(1 of 2 test molecules in training, 1 offenders at Tanimoto ≥ 0.85, median 0.667)
    """
    if len(train) == 0 or len(test) == 0:
        raise ValueError(f"Both sets must hold molecules; got {len(train)} for training and {len(test)} for test.")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a Tanimoto similarity, 0..1; got {threshold}.")
    known, asked = parse_all("train", train), parse_all("test", test)
    first_of: dict[str, int] = {}
    for row, molecule in enumerate(known):
        first_of.setdefault(skeleton_key(molecule), row)
    keys = [skeleton_key(molecule) for molecule in asked]
    same = [(row, first_of[key]) for row, key in enumerate(keys) if key in first_of]
    prints = morgan_fingerprints(known)
    # Row by row: all similarities at once would not fit in memory.
    best = [
        torch.tensor(tanimoto(fingerprint, prints), dtype=torch.float64).max(dim=0)
        for fingerprint in morgan_fingerprints(asked)
    ]
    return Leakage(
        same=torch.tensor(same, dtype=torch.int64).view(-1, 2),
        nearest=torch.stack([found.indices for found in best]),
        similarity=torch.stack([found.values for found in best]),
        threshold=threshold,
    )
