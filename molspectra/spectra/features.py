"""Features that every spectrum encoder returns."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from molspectra._repr import fields_repr


class SpectrumFeatures(NamedTuple):
    """Features of a batch of spectra, from :class:`SpecFormer` or :class:`CNNAM`."""

    tokens: Float[Tensor, "batch tokens channels"]
    """One feature vector per patch (SpecFormer) or per position of the feature map (CNNAM), (B, n, D). The kinds stand
    one after the other. `split` of the encoder takes them apart."""
    embedding: Float[Tensor, "batch out_channels"]
    """One feature vector per sample, (B, F)."""
    valid: Bool[Tensor, "batch tokens"]
    """True for tokens of a spectrum that the sample has, (B, n)."""
    attention: tuple[Float[Tensor, "batch heads tokens tokens"], ...] | None = None
    """Attention weights of each layer of a SpecFormer, if asked for."""

    def __repr__(self) -> str:
        return fields_repr(self)
