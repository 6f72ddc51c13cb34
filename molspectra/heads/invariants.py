"""Rotation-invariant part of atom features."""

from jaxtyping import Float
from torch import Tensor

from molspectra.features import AtomFeatures
from molspectra.layers.gated import smooth_norm


def invariants(atoms: AtomFeatures) -> Float[Tensor, "atoms channels"]:
    """Compute s_i + |v_i| + |t_i| per channel over all degrees, (N, F). Lengths are smooth at 0."""
    total = atoms.scalars
    # Rotation mixes the 2l + 1 components of a degree and keeps their length, so lengths are the invariants to read.
    for degree in range(1, atoms.l_max + 1):
        total = total + smooth_norm(atoms.degree(degree))
    return total
