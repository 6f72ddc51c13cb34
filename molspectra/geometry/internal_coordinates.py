"""Bond lengths, bond angles and torsions of a whole batch, and their exact derivatives (Wilson's s-vectors).

Units are Å and rad. A term is a column of atoms: bonds (i, j), angles (i, j, k) with j in the middle, torsions
(i, j, k, l) about the bond (j, k). Both kinds of angles are computed by atan2, which is accurate to rounding near 0 and
π, where an arccosine loses half of the digits. Some terms have no derivative: bonds and angles with coincident atoms,
angles of exactly 0 or π, torsions with three atoms exactly on a line. Their derivatives are set to 0, so that all
results are finite. :func:`defined_terms` marks the other terms, with a margin if wanted.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from molspectra._validation import check_tensor, check_tensors


class InternalJacobian(NamedTuple):
    """Sparse derivatives of internal coordinates by positions: those of each term by its own atoms."""

    bond_index: Int[Tensor, "2 bonds"]
    angle_index: Int[Tensor, "3 angles"]
    torsion_index: Int[Tensor, "4 torsions"]
    r: Float[Tensor, "2 3 bonds"]
    """∂r/∂x of the two atoms of each bond, dimensionless."""
    theta: Float[Tensor, "3 3 angles"]
    """∂θ/∂x of the three atoms of each angle, rad/Å."""
    phi: Float[Tensor, "4 3 torsions"]
    """∂φ/∂x of the four atoms of each torsion, rad/Å."""
    num_atoms: int

    def vjp(
        self, r: Float[Tensor, " bonds"], theta: Float[Tensor, " angles"], phi: Float[Tensor, " torsions"]
    ) -> Float[Tensor, "atoms 3"]:
        """Return Jᵀg (N, 3) for one number g per term: the gradient by positions from the gradient by terms."""
        total = self.r.new_zeros(self.num_atoms, 3)
        for index, rows, weight in (
            (self.bond_index, self.r, r),
            (self.angle_index, self.theta, theta),
            (self.torsion_index, self.phi, phi),
        ):
            total = total.index_add(0, index.flatten(), (rows * weight).mT.flatten(0, 1))
        return total

    def jvp(
        self, direction: Float[Tensor, "*slices atoms 3"]
    ) -> tuple[Float[Tensor, "*slices bonds"], Float[Tensor, "*slices angles"], Float[Tensor, "*slices torsions"]]:
        """Return Jv: the rates of change of r, θ and φ as the atoms move along `direction` (..., N, 3)."""

        def rates(index: Tensor, rows: Tensor) -> Tensor:
            along = direction.index_select(-2, index.flatten()).unflatten(-2, index.shape)
            return (along.mT * rows).sum(dim=(-3, -2))

        return rates(self.bond_index, self.r), rates(self.angle_index, self.theta), rates(self.torsion_index, self.phi)


class BondVectors(NamedTuple):
    """Vectors between the atoms of terms, Cartesian components first, (3, ..., n).

    Sums over a last dimension of three are several times slower.
    """

    bond: Float[Tensor, "3 *slices bonds"]
    """x_j - x_i of bonds."""
    u: Float[Tensor, "3 *slices angles"]
    """x_i - x_j of angles."""
    v: Float[Tensor, "3 *slices angles"]
    """x_k - x_j of angles."""
    b1: Float[Tensor, "3 *slices torsions"]
    """x_j - x_i of torsions."""
    b2: Float[Tensor, "3 *slices torsions"]
    """x_k - x_j of torsions."""
    b3: Float[Tensor, "3 *slices torsions"]
    """x_l - x_k of torsions."""


def bond_vectors(
    pos: Float[Tensor, "*slices atoms 3"],
    bond_index: Int[Tensor, "2 bonds"],
    angle_index: Int[Tensor, "3 angles"],
    torsion_index: Int[Tensor, "4 torsions"],
) -> BondVectors:
    """Return the vectors between the atoms of all terms, read from the positions at once."""
    check_tensor("pos", pos)
    for name, index in (("bond_index", bond_index), ("angle_index", angle_index), ("torsion_index", torsion_index)):
        check_tensor(name, index)
    start, end = vector_ends(bond_index, angle_index, torsion_index)
    components = pos.movedim(-1, 0).contiguous()
    vectors = components.index_select(-1, end) - components.index_select(-1, start)
    bonds, angles, torsions = bond_index.shape[1], angle_index.shape[1], torsion_index.shape[1]
    return BondVectors(*vectors.split([bonds, angles, angles, torsions, torsions, torsions], dim=-1))


def vector_ends(
    bond_index: Int[Tensor, "2 bonds"], angle_index: Int[Tensor, "3 angles"], torsion_index: Int[Tensor, "4 torsions"]
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Return the atoms where the vectors of :class:`BondVectors` start and end, (n,), one kind after the other."""
    (i, j), (a, b, c) = bond_index, angle_index
    start = torch.cat([i, b, b, torsion_index[:3].flatten()])
    return start, torch.cat([j, a, c, torsion_index[1:].flatten()])


def internal_coordinates(
    pos: Float[Tensor, "*slices atoms 3"],
    bond_index: Int[Tensor, "2 bonds"],
    angle_index: Int[Tensor, "3 angles"],
    torsion_index: Int[Tensor, "4 torsions"],
) -> tuple[Float[Tensor, "*slices bonds"], Float[Tensor, "*slices angles"], Float[Tensor, "*slices torsions"]]:
    """Compute bond lengths, angles and torsions of one molecule, or of a batch whose indices count through all atoms.

        r = |x_j - x_i|
        θ = atan2(|u × v|, u·v),           u = x_i - x_j, v = x_k - x_j
        φ = atan2(|b₂| b₁·n₂, n₁·n₂),      b₁ = x_j - x_i, b₂ = x_k - x_j, b₃ = x_l - x_k, n₁ = b₁ × b₂, n₂ = b₂ × b₃

    The sign of φ is IUPAC's: positive if l is turned clockwise from i, seen from j towards k.

    Args:
        pos: Positions in Å, (..., N, 3). Leading dimensions hold several geometries of the same molecules.
        bond_index: Bonds, (2, B).
        angle_index: Angles, (3, A).
        torsion_index: Torsions, (4, T).

    Returns:
        r (..., B) in Å, θ (..., A) in [0, π] and φ (..., T) in (-π, π], differentiable any number of times with finite
        derivatives (see the module). Undefined angles are 0.

    Example:
        >>> pos = torch.tensor([[0., 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]])
        >>> terms = torch.tensor([[0], [1]]), torch.tensor([[0], [1], [2]]), torch.tensor([[0], [1], [2], [3]])
        >>> r, theta, phi = ms.geometry.internal_coordinates(pos, *terms)
        >>> r, theta.rad2deg(), phi.rad2deg()
        (tensor([1.]), tensor([90.]), tensor([90.]))
    """
    d = bond_vectors(pos, bond_index, angle_index, torsion_index)
    normals = cross(d.u, d.v)
    n1, n2 = cross(d.b1, d.b2), cross(d.b2, d.b3)
    # All lengths, and then all angles at once: each operation starts a kernel.
    vectors = [d.bond, normals, d.b2]
    r, sine_theta, b2 = norm(torch.cat(vectors, dim=-1)).split([vector.shape[-1] for vector in vectors], dim=-1)
    sines = torch.cat([sine_theta, b2 * dot(d.b1, n2)], dim=-1)
    cosines = torch.cat([dot(d.u, d.v), dot(n1, n2)], dim=-1)
    theta, phi = polar_angle(sines, cosines).split([sine_theta.shape[-1], b2.shape[-1]], dim=-1)
    return r, theta, phi


def internal_jacobian(
    pos: Float[Tensor, "atoms 3"],
    bond_index: Int[Tensor, "2 bonds"],
    angle_index: Int[Tensor, "3 angles"],
    torsion_index: Int[Tensor, "4 torsions"],
) -> InternalJacobian:
    """Compute the derivatives of :func:`internal_coordinates` in closed form.

    The rows are Wilson's s-vectors (Wilson, Decius & Cross, Molecular Vibrations, ch. 4). Their products with vectors
    on either side, `vjp` and `jvp`, cost a fraction of automatic differentiation. Rows of terms without a derivative
    are 0.

    Example:
        >>> pos = torch.tensor([[0., 0, 0], [1.5, 0, 0]])
        >>> none = torch.empty(7, 0, dtype=torch.int64)
        >>> jacobian = ms.geometry.internal_jacobian(pos, torch.tensor([[0], [1]]), none[:3], none[3:])
        >>> stretching, *_ = jacobian.jvp(torch.tensor([[0., 0, 0], [2, 0, 0]]))
        >>> stretching
        tensor([2.])
    """
    d = bond_vectors(pos, bond_index, angle_index, torsion_index)
    # A bond lengthens fastest along its own direction.
    along = d.bond * reciprocal(norm(d.bond))

    # An angle opens as its outer atoms move within its plane, perpendicular to their bonds, by 1/length per Å.
    u, v = d.u, d.v
    normal = cross(u, v)
    normal = normal * reciprocal(norm(normal))
    at_a = cross(u, normal) * reciprocal(dot(u, u))
    at_c = cross(normal, v) * reciprocal(dot(v, v))

    # A torsion changes as its outer atoms move out of their planes, by |b₂|/|n|² times the normal per Å.
    b1, b2, b3 = d.b1, d.b2, d.b3
    n1, n2 = cross(b1, b2), cross(b2, b3)
    inverse1, inverse2 = reciprocal(dot(n1, n1)), reciprocal(dot(n2, n2))
    length = torch.where((inverse1 > 0) & (inverse2 > 0), norm(b2), 0.0)
    at_k, at_n = -n1 * (length * inverse1), n2 * (length * inverse2)
    # A rigid motion does not change a torsion: its rows sum to 0, and so do their torques. This determines the rows of
    # the central atoms from the positions of the outer atoms along the central bond.
    inverse = reciprocal(dot(b2, b2))
    at_l = dot(b3, b2) * inverse * at_n - (1 + dot(b1, b2) * inverse) * at_k
    return InternalJacobian(
        bond_index,
        angle_index,
        torsion_index,
        torch.stack([-along, along]),
        torch.stack([at_a, -at_a - at_c, at_c]),
        torch.stack([at_k, at_l, -at_k - at_l - at_n, at_n]),
        pos.shape[0],
    )


def defined_terms(
    pos: Float[Tensor, "atoms 3"],
    bond_index: Int[Tensor, "2 bonds"],
    angle_index: Int[Tensor, "3 angles"],
    torsion_index: Int[Tensor, "4 torsions"],
    margin: float = 0.0,
) -> tuple[Bool[Tensor, " bonds"], Bool[Tensor, " angles"], Bool[Tensor, " torsions"]]:
    """Mark the terms that have a derivative at these positions.

    Args:
        pos: Positions in Å, (N, 3).
        bond_index: Bonds, (2, B).
        angle_index: Angles, (3, A).
        torsion_index: Torsions, (4, T).
        margin: Least distance in rad of angles from 0 and π, and of both angles inside a torsion, whose derivative
            grows as 1/sin θ.

    Returns:
        Masks (B,), (A,) and (T,). A torsion with i = l counts as undefined: it is 0 at any geometry.
    """
    check_tensors(pos=pos, bond_index=bond_index, angle_index=angle_index, torsion_index=torsion_index)

    def bent(i: Tensor, j: Tensor, k: Tensor) -> Tensor:
        at_i, at_j, at_k = (x.index_select(1, atoms) for atoms in (i, j, k))
        u, v = at_i - at_j, at_k - at_j
        # sin θ > sin(margin), without the division by lengths that may be 0.
        return norm(cross(u, v)) > math.sin(margin) * norm(u) * norm(v)

    x = pos.t().contiguous()
    (i, j), (k, l, m, n) = bond_index, torsion_index
    return norm(x[:, j] - x[:, i]) > 0, bent(*angle_index), bent(k, l, m) & bent(l, m, n) & (k != n)


def wrap_angle(angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Wrap angles into [-π, π), for differences of torsions, which are periodic."""
    check_tensor("angle", angle)
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner products of (3, ...)."""
    return (a * b).sum(0)


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Return the cross products of (3, ...)."""
    return torch.linalg.cross(a, b, dim=0)


def norm(vector: Tensor) -> Tensor:
    """Return the length of (3, ...), with the derivative 0 at 0."""
    square = dot(vector, vector)
    # `where` differentiates both of its branches: the unused square root must have a finite derivative, too.
    zero = square < torch.finfo(square.dtype).tiny
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())


def reciprocal(number: Tensor) -> Tensor:
    """Return 1/x of nonnegative numbers, and 0 where it would overflow."""
    zero = number < torch.finfo(number.dtype).tiny
    return torch.where(zero, 0.0, 1 / torch.where(zero, 1.0, number))


def polar_angle(sine: Tensor, cosine: Tensor) -> Tensor:
    """Return atan2 with value and derivatives 0 where both arguments are 0."""
    # The derivative divides by sin² + cos². Scaling to a largest argument of 1 keeps these squares from underflowing.
    scale = torch.maximum(sine.abs(), cosine.abs()).detach()
    inverse = reciprocal(scale)
    undefined = inverse == 0
    return torch.where(undefined, 0.0, torch.atan2(sine * inverse, torch.where(undefined, 1.0, cosine * inverse)))
