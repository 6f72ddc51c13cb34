"""Perturbing conformers: each noise is a callable `noise(data, generator=None) -> data`."""

from molspectra.noise.coord import CoordNoise

__all__ = ["CoordNoise"]
