"""Perturbing conformers: each noise is a callable `noise(data, generator=None) -> data`."""

from molspectra.noise.coord import CoordNoise
from molspectra.noise.frad import FradNoise
from molspectra.noise.slide import SliDeNoise

__all__ = ["CoordNoise", "FradNoise", "SliDeNoise"]
