"""Encoders, which turn molecules into atom features: callables `(z, pos, batch=None, *, ...) -> AtomFeatures`."""

from molspectra.encoders.adapters import Adapter, FunctionEncoder, GraphEncoder, PyGEncoder
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.encoders.egnn import EGNN
from molspectra.encoders.equivariant_transformer import EquivariantTransformer
from molspectra.encoders.get import GET
from molspectra.encoders.irreps_transformer import IrrepsTransformer
from molspectra.encoders.painn import PaiNN
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures

__all__ = [
    "EGNN",
    "GET",
    "Adapter",
    "AtomFeatures",
    "BaseEncoder",
    "Encoder",
    "EquivariantTransformer",
    "FunctionEncoder",
    "GraphEncoder",
    "IrrepsTransformer",
    "Molecules",
    "PaiNN",
    "PyGEncoder",
]


def __dir__() -> list[str]:
    return __all__
