"""Geometry of molecules: pure tensor functions on positions and bonds, without modules or learned state."""

from molspectra.geometry import topology
from molspectra.geometry.alignment import kabsch_align, remove_mean
from molspectra.geometry.bonds import bond_graph
from molspectra.geometry.deformation import deform
from molspectra.geometry.hops import hop_counts
from molspectra.geometry.internal_coordinates import (
    InternalJacobian,
    defined_terms,
    internal_coordinates,
    internal_jacobian,
    wrap_angle,
)
from molspectra.geometry.linalg import symmetric_inverse_sqrt
from molspectra.geometry.neighbors import edge_geometry, half_neighbor_list, radius_graph
from molspectra.geometry.rotation import rotation_matrix
from molspectra.geometry.torsion import rotate_torsions

__all__ = [
    "InternalJacobian",
    "bond_graph",
    "defined_terms",
    "deform",
    "edge_geometry",
    "half_neighbor_list",
    "hop_counts",
    "internal_coordinates",
    "internal_jacobian",
    "kabsch_align",
    "radius_graph",
    "remove_mean",
    "rotate_torsions",
    "rotation_matrix",
    "symmetric_inverse_sqrt",
    "topology",
    "wrap_angle",
]


def __dir__() -> list[str]:
    return __all__
