"""The published pre-training methods: `method(encoder, batch, generator=None) -> {"loss": ..., parts}`."""

from molspectra.methods.coord import Coord
from molspectra.methods.molspectra import MolSpectra

__all__ = ["Coord", "MolSpectra"]
