"""Spectra among the fields of molecules."""

from collections.abc import Iterable

from torch import Tensor
from torch_geometric.data import Data


def spectra_of(batch: Data, kinds: Iterable[str]) -> dict[str, Tensor]:
    """Return the spectra of molecules, kind → (B, L), of those kinds that are fields of the batch.

    Raises:
        ValueError: it has none of them.
    """
    kinds = list(kinds)
    spectra = {kind: batch[kind] for kind in kinds if kind in batch}
    if not spectra:
        raise ValueError(
            f"The batch has none of the spectra {kinds}, only {list(batch.keys())}. Add a field (B, L) of one kind. "
            "Without spectra use Regression, or a pretext task such as Coord alone."
        )
    return spectra
