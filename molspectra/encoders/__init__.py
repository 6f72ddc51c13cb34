"""Molecules → atom features: every encoder is a callable `(z, pos, batch=None, *, ...) -> AtomFeatures`."""

from molspectra.encoders.equivariant_transformer import EquivariantTransformer
from molspectra.encoders.features import AtomFeatures

__all__ = ["AtomFeatures", "EquivariantTransformer"]
