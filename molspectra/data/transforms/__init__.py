"""Transforms of PyG that add fields to molecules once, before training, as `transform=` or `pre_transform=`."""

from molspectra.data.transforms.add_topology import AddTopology
from molspectra.data.transforms.fill_missing_spectra import FillMissingSpectra
from molspectra.data.transforms.force_constants import ForceConstants

__all__ = ["AddTopology", "FillMissingSpectra", "ForceConstants"]


def __dir__() -> list[str]:
    return __all__
