"""Atom features of the molecular models of PyG: one file per model, and the molecules that all of them read."""

from molspectra.encoders.adapters.pyg.dimenet import DimeNetFeatures
from molspectra.encoders.adapters.pyg.schnet import SchNetFeatures
from molspectra.encoders.adapters.pyg.visnet import ViSNetFeatures

__all__ = ["DimeNetFeatures", "SchNetFeatures", "ViSNetFeatures"]


def __dir__() -> list[str]:
    return __all__
