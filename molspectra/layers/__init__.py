"""Small modules that encoders and heads share."""

from molspectra.layers.gated import GatedEquivariantBlock
from molspectra.layers.radial import CosineCutoff, ExpNormalBasis
from molspectra.layers.vector_norm import RMSVectorNorm, WhitenedVectorNorm

__all__ = ["CosineCutoff", "ExpNormalBasis", "GatedEquivariantBlock", "RMSVectorNorm", "WhitenedVectorNorm"]
