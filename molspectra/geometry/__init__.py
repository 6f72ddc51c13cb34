"""Pure tensor functions on positions: no modules, no learned state."""

from molspectra.geometry.alignment import remove_mean
from molspectra.geometry.linalg import symmetric_inverse_sqrt
from molspectra.geometry.neighbors import edge_geometry, radius_graph

__all__ = ["edge_geometry", "radius_graph", "remove_mean", "symmetric_inverse_sqrt"]
