"""The published pre-training methods: `method(encoder, batch, generator=None) -> {"loss": ..., parts}`."""

from molspectra.methods.coord import Coord
from molspectra.methods.denoising import Denoising
from molspectra.methods.frad import Frad
from molspectra.methods.molspectra import MolSpectra
from molspectra.methods.noisy_nodes import NoisyNodes
from molspectra.methods.slide import SliDe

__all__ = ["Coord", "Denoising", "Frad", "MolSpectra", "NoisyNodes", "SliDe"]
