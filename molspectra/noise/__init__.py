"""Perturbation of conformers: each noise is a callable `noise(data, generator=None) -> data`."""

from molspectra.noise.atom_mask import AtomMask, EMPPMask
from molspectra.noise.coord import CoordNoise
from molspectra.noise.dens import DeNSNoise
from molspectra.noise.distance import DistanceNoise
from molspectra.noise.emgp import EMGPNoise, riemann_force_target
from molspectra.noise.frad import FradNoise
from molspectra.noise.masked_pairs import MaskedPairs, masked_pairs
from molspectra.noise.slide import SliDeNoise

__all__ = [
    "AtomMask",
    "CoordNoise",
    "DeNSNoise",
    "DistanceNoise",
    "EMGPNoise",
    "EMPPMask",
    "FradNoise",
    "MaskedPairs",
    "SliDeNoise",
    "masked_pairs",
    "riemann_force_target",
]


def __dir__() -> list[str]:
    return __all__
