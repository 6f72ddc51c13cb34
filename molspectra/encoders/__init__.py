"""Molecules → atom features: every encoder is a callable `(z, pos, batch=None, *, ...) -> AtomFeatures`."""

from molspectra.encoders.adapter import Adapter
from molspectra.encoders.egnn import EGNN
from molspectra.encoders.equivariant_transformer import EquivariantTransformer
from molspectra.encoders.features import AtomFeatures
from molspectra.encoders.irreps_transformer import IrrepsTransformer
from molspectra.encoders.painn import PaiNN

__all__ = ["EGNN", "Adapter", "AtomFeatures", "EquivariantTransformer", "IrrepsTransformer", "PaiNN"]
