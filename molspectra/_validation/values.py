"""The condition for checks of values, as opposed to shapes and dtypes."""

from torch import Tensor

from molspectra._transforms import has_values


def values_are_free(tensor: Tensor) -> bool:
    """Return True if looking at values neither stalls a device nor breaks a graph, a trace or a transform."""
    return tensor.device.type == "cpu" and has_values(tensor)
