"""Polarizable atom interaction neural network, PaiNN."""

from molspectra.encoders.painn.model import PaiNN
from molspectra.encoders.painn.radial_basis import BesselBasis

__all__ = ["BesselBasis", "PaiNN"]


def __dir__() -> list[str]:
    return __all__
