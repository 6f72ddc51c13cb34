"""What is added to molecules once, before training: PyG transforms, for `transform=` and `pre_transform=`."""

from molspectra.data.transforms.add_topology import AddTopology
from molspectra.data.transforms.force_constants import ForceConstants

__all__ = ["AddTopology", "ForceConstants"]
