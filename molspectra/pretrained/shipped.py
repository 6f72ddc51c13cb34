"""Weights that are part of the package."""

from typing import NamedTuple

from torch import nn

from molspectra._repr import fields_repr
from molspectra.pretrained.card import Checkpoint
from molspectra.pretrained.directory import load_directory


class EncoderPair(NamedTuple):
    """A 3D encoder and a spectrum encoder whose embeddings of one molecule are similar.

    The embedding of a molecule is the sum over its atoms, `encoder(z, pos, batch).pool(batch)`, or
    `ms.embed(encoder, molecules, pool="sum", layers=None)`. That of its spectra is `specformer(spectra).embedding`.
    Compare them by their cosine.

    Example:
        >>> encoder, specformer = ms.pretrained.load("molspectra-mini")
        >>> molecules = Batch.from_data_list(list(ms.data.MiniSpectra("test")))
        >>> library = ms.embed(encoder, molecules.smiles, pool="sum", layers=None)
        >>> index = ms.retrieval.Index(library, ids=molecules.smiles)
        >>> with torch.no_grad():
        ...     queries = specformer({"ir": molecules.ir}, axes={"ir": ms.data.IR}).embedding
        >>> matches = index.search(queries, k=5)
    """

    encoder: nn.Module
    """(z, pos, batch) → :class:`~molspectra.encoders.AtomFeatures`."""
    specformer: nn.Module
    """Kind → spectra to :class:`~molspectra.spectra.SpectrumFeatures`."""

    def __repr__(self) -> str:
        return fields_repr(self)


def load_shipped(known: Checkpoint) -> nn.Module | EncoderPair:
    """Load weights of the package, on the CPU and in evaluation mode.

    Returns:
        The encoder, or encoder and SpecFormer if there are both.
    """
    encoder = load_directory(known.path / "encoder")
    if not (known.path / "specformer").is_dir():
        return encoder
    return EncoderPair(encoder, load_directory(known.path / "specformer"))
