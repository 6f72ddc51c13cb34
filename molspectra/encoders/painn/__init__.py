"""PaiNN, the polarizable atom interaction network."""

from molspectra.encoders.painn.model import PaiNN

__all__ = ["PaiNN"]
