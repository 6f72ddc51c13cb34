"""What every spectrum encoder returns."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor


class SpectrumFeatures(NamedTuple):
    """What :class:`SpecFormer` and :class:`CNNAM` return."""

    tokens: Float[Tensor, "batch tokens channels"]
    """One feature vector a patch (SpecFormer) or position of the feature map (CNNAM), (B, n, D), the kinds one after
    the other; `split` of the encoder takes them apart."""
    embedding: Float[Tensor, "batch out_channels"]
    """One feature vector a sample, (B, F)."""
    present: Bool[Tensor, "batch tokens"]
    """Which tokens belong to a spectrum that is there, (B, n)."""
    attention: tuple[Float[Tensor, "batch heads tokens tokens"], ...] | None = None
    """Attention weights of each layer of a SpecFormer, if asked for."""
