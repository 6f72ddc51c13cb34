"""Tensors that the messages of a layer are computed from."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Neighborhood(NamedTuple):
    """Pairs of atoms within the cutoff and functions of their distances, the same for all layers."""

    pairs: Int[Tensor, "2 pairs"]
    """Atoms i and j, each pair once."""
    direction: Float[Tensor, "pairs 3"]
    """Unit vectors u_ij from i to j."""
    basis: Float[Tensor, "pairs num_rbf"]
    """Radial basis φ(r_ij)."""
    envelope: Float[Tensor, "pairs 1"]
    """Cutoff envelope C(r_ij)."""
    self_basis: Float[Tensor, "1 num_rbf"]
    """Radial basis φ(0), as each atom also attends to itself."""


class Inputs(NamedTuple):
    """All tensors that the messages of one layer are computed from, or the gradient of each of them.

    Autograd sees them in this order. The last five are the fields of `Neighborhood`.
    """

    query: Float[Tensor, "atoms channels"]
    """q."""
    key_value: Float[Tensor, "atoms key_and_values"]
    """k, v⁰ and v² side by side, (N, 3F)."""
    vec_value: Float[Tensor, "atoms 3 channels"]
    """vec ⊙ v¹. Both factors belong to the source atom: they are multiplied once per atom, not once per edge."""
    filter_weight: Float[Tensor, "filters num_rbf"]
    """W of the radial filters SiLU(W φ + b), (4F, K): F rows each for k, s⁰, s² and s¹. No rows if W φ + b is given."""
    filter_bias: Float[Tensor, " filters"]
    """b of the radial filters, (4F,)."""
    pairs: Int[Tensor, "2 pairs"]
    direction: Float[Tensor, "pairs 3"]
    basis: Float[Tensor, "pairs num_rbf"]
    envelope: Float[Tensor, "pairs 1"]
    self_basis: Float[Tensor, "1 num_rbf"]
