"""Tensors of edges and triplets that all layers share."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Triplets(NamedTuple):
    """Consecutive edges k → j → i with k ≠ i, and functions of the angle and the torsion between them."""

    inner: Int[Tensor, " triplets"]
    """Number of the edge k → j."""
    outer: Int[Tensor, " triplets"]
    """Number of the edge j → i."""
    angle_basis: Float[Tensor, "triplets angles"]
    """Bessel functions of r_kj times harmonics of the angle."""
    torsion_basis: Float[Tensor, "triplets torsions"]
    """Bessel functions of r_kj times harmonics of the angle and the torsion."""


class Neighborhood(NamedTuple):
    """Edges between different atoms, then self-loops, and functions of their lengths."""

    edge_index: Int[Tensor, "2 edges"]
    """Rows [source, target]."""
    direction: Float[Tensor, "edges 3"]
    """Unit vectors from target to source, 0 for self-loops."""
    envelope: Float[Tensor, "edges 1"]
    """Cutoff envelope, 1 for self-loops."""
    weight: Float[Tensor, "atoms 1"] | None
    """Inverse numbers of neighbors, for means over them, or None for sums."""
