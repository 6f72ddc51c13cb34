"""Gradient of an energy that is harmonic in all bond lengths, bond angles and torsions, in few operations."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra.geometry.internal_coordinates import cross, dot, polar_angle, vector_ends, wrap_angle


def harmonic_gradient(
    pos: Float[Tensor, "atoms 3"],
    reference: Float[Tensor, "atoms 3"],
    bond_index: Int[Tensor, "2 bonds"],
    angle_index: Int[Tensor, "3 angles"],
    torsion_index: Int[Tensor, "4 torsions"],
    constants: Float[Tensor, " terms"],
    margin: float | None = None,
) -> Float[Tensor, "atoms 3"]:
    """Compute ∇ ½ Σ_t k_t (q_t(x) - q_t(x₀))² exactly, over all bonds, angles and torsions q.

    All terms are computed together, at both geometries, so that a device starts few kernels. The derivative of a term
    by the vectors between its atoms is added to the end of each vector and subtracted from its start. Differences of
    torsions are wrapped into [-π, π). Terms without a derivative contribute 0 (see
    :func:`~molspectra.geometry.internal_coordinates.internal_coordinates`).

    Args:
        pos: x in Å, (N, 3).
        reference: x₀ in Å, (N, 3).
        bond_index: Bonds, (2, B).
        angle_index: Angles, (3, A).
        torsion_index: Torsions, (4, T).
        constants: k of all bonds, angles and torsions, (B + A + T,), in energy/Å² and energy/rad².
        margin: Leave out torsions of which an angle is within this distance of 0 or π at x, in rad, or which close a
            ring of three. None keeps all.

    Returns:
        The gradient (N, 3) in energy/Å.
    """
    bonds, angles, torsions = bond_index.shape[1], angle_index.shape[1], torsion_index.shape[1]
    start, end = vector_ends(bond_index, angle_index, torsion_index)
    # Cartesian components come first, then the two geometries.
    x = torch.stack([pos.t(), reference.t()], dim=1)
    vectors = x.index_select(-1, end) - x.index_select(-1, start)
    bond, u, v, chain = vectors.split([bonds, angles, angles, 3 * torsions], dim=-1)
    # Vectors along the chain of a torsion, each beside the next one: (b₁, b₂) and (b₂, b₃).
    first, second = chain[..., : 2 * torsions], chain[..., torsions:]
    normal, chain_normals = cross(u, v), cross(first, second)

    every = torch.cat([vectors, normal, chain_normals], dim=-1)
    square = dot(every, every)
    zero = square < torch.finfo(square.dtype).tiny
    square = torch.where(zero, 1.0, square)
    length = torch.where(zero, 0.0, square.sqrt())
    inverse_square = torch.where(zero, 0.0, 1 / square)[0]
    parts = [bonds, angles, angles, torsions, torsions, torsions, angles, 2 * torsions]
    r, _, _, _, b2, _, sine, _ = length.split(parts, dim=-1)
    along_u_v, along_chain = dot(u, v), dot(first, second)

    # The same equations as in `internal_coordinates`.
    n1, n2 = chain_normals.tensor_split(2, dim=-1)
    sines = torch.cat([sine, b2 * dot(chain[..., :torsions], n2)], dim=-1)
    angle = polar_angle(sines, torch.cat([along_u_v, dot(n1, n2)], dim=-1))
    change = torch.cat([r, angle], dim=-1)
    change = change[0] - change[1]
    change = torch.cat([change[: bonds + angles], wrap_angle(change[bonds + angles :])])
    force = constants * change
    if margin is not None:
        kept = _bent(length[0], parts, margin) & (torsion_index[0] != torsion_index[3])
        force = torch.cat([force[: bonds + angles], torch.where(kept, force[bonds + angles :], 0.0)])

    # From here on only the first geometry: derivatives of each term by its vectors, times ∂E/∂q.
    by_r, by_theta, by_phi = force.split([bonds, angles, torsions])
    _, inverse_u, inverse_v, _, inverse_b2, _, _, inverse_normals = inverse_square.split(parts)
    unit_r, _, _, _, _, _, unit_normal, _ = (inverse_square * length[0]).split(parts)
    by_bond = bond[:, 0] * (unit_r * by_r)
    # An angle opens as its outer atoms move within its plane, perpendicular to their bonds, by 1/length per Å.
    direction = normal[:, 0] * (unit_normal * by_theta)
    by_u, by_v = cross(u[:, 0], direction) * inverse_u, cross(direction, v[:, 0]) * inverse_v
    # A torsion changes as its outer atoms move out of their planes. What its central bond has to do follows, since a
    # rigid rotation changes no torsion.
    both = inverse_normals.unflatten(-1, (2, torsions))
    weight = torch.where((both > 0).all(dim=0), b2[0] * by_phi, 0.0)
    by_outer = chain_normals[:, 0].unflatten(-1, (2, torsions)) * (both * weight)
    by_b2 = (by_outer * (along_chain[0].unflatten(-1, (2, torsions)) * inverse_b2)).sum(dim=1)
    by_vectors = torch.cat([by_bond, by_u, by_v, by_outer[:, 0], -by_b2, by_outer[:, 1]], dim=-1).t().contiguous()
    return torch.zeros_like(pos).index_add(0, end, by_vectors).index_add(0, start, by_vectors, alpha=-1)


def _bent(length: Tensor, parts: list[int], margin: float) -> Tensor:
    """Mark the torsions (T,) of which both angles are farther than `margin` from 0 and π."""
    torsions = parts[3]
    _, chain, _, normals = length.split([sum(parts[:3]), 3 * torsions, parts[6], 2 * torsions])
    # sin θ > sin(margin), without the division by lengths that may be 0.
    products = math.sin(margin) * chain[: 2 * torsions] * chain[torsions:]
    return (normals > products).unflatten(-1, (2, torsions)).all(dim=0)
