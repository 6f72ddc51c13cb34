"""Equivariant transformer of TorchMD-Net, pre-trained by Coord, Frad, SliDe and MolSpectra."""

from molspectra.encoders.equivariant_transformer.model import EquivariantTransformer
from molspectra.layers.vector_norm import RMSVectorNorm, WhitenedVectorNorm

__all__ = ["EquivariantTransformer", "RMSVectorNorm", "WhitenedVectorNorm"]


def __dir__() -> list[str]:
    return __all__
