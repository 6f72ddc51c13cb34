"""Placing molecules: centring, and superposing one conformer on another."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter

# Overlaps of two rotations that agree to this share of the largest count as equal: rounding, with room to spare.
_TIE = 1e-12


def remove_mean(
    vectors: Float[Tensor, "atoms 3"], batch: Int[Tensor, " atoms"] | None, num_molecules: int | None = None
) -> Float[Tensor, "atoms 3"]:
    """Subtract from the vectors of each molecule their mean over its atoms.

    Args:
        vectors: Positions, displacements or forces, (N, 3).
        batch: Molecule of each atom, (N,); None for one molecule.
        num_molecules: Number of molecules, if known; otherwise it is read off `batch`, which waits for the device.

    Returns:
        Vectors of the same shape whose mean over every molecule is 0.
    """
    if batch is None:
        return vectors - vectors.mean(dim=0)
    return vectors - scatter(vectors, batch, dim=0, dim_size=num_molecules, reduce="mean")[batch]


def kabsch_align(
    pos: Float[Tensor, "atoms 3"],
    onto: Float[Tensor, "atoms 3"],
    batch: Int[Tensor, " atoms"] | None = None,
    *,
    allow_reflection: bool = False,
    num_molecules: int | None = None,
) -> Float[Tensor, "atoms 3"]:
    """Move each molecule as a rigid body to where it lies closest to another conformer of itself, atom by atom.

    min over R, t of Σ_i |R x_i + t - y_i|² (Kabsch, Acta Cryst. A32, 922, 1976), by unit quaternions (Horn, J. Opt.
    Soc. Am. A 4, 629, 1987): with x and y about their centres and S = Σ_i x_i y_iᵀ, the overlap tr(S R) is a quadratic
    form qᵀ K q, and the best rotation is the eigenvector of K to its largest eigenvalue. The same matrix has the best
    *improper* one, a rotation of the mirror image -x, at its smallest eigenvalue. Computed in float64, for all
    molecules at once.

    Of equally good rotations, such as those of a linear molecule about its axis, it takes the one that turns the least:
    a lone atom and coincident atoms are moved only. Where a proper and an improper one are equally good, as in a planar
    molecule, the proper one is taken.

    No gradient passes through R. At the minimum the squared distance does not depend on R to first order, so that its
    gradient is right all the same.

    Args:
        pos: Positions x in Å, (N, 3).
        onto: Positions y of the same atoms, (N, 3).
        batch: Molecule of each atom, (N,); None for one molecule.
        allow_reflection: Accept mirror images where they lie closer; by default only rotations are considered.
        num_molecules: Number of molecules, if known; otherwise it is read off `batch`, which waits for the device.

    Returns:
        The superposed positions, (N, 3).

    Example:
        >>> pos = torch.randn(5, 3)
        >>> moved = pos @ ms.geometry.rotation_matrix(torch.ones(3), torch.tensor(2.0)).T + 7
        >>> torch.allclose(kabsch_align(moved, pos), pos, atol=1e-5)
        True
    """
    if batch is None:
        batch, num_molecules = torch.zeros(len(pos), dtype=torch.int64, device=pos.device), 1
    double, onto = pos.double(), onto.double()
    moved = remove_mean(double, batch, num_molecules)
    fixed = remove_mean(onto, batch, num_molecules)
    with torch.no_grad():
        overlap = scatter(moved.unsqueeze(2) * fixed.unsqueeze(1), batch, dim=0, dim_size=num_molecules, reduce="sum")
        rotation = _best_rotation(overlap, allow_reflection).index_select(0, batch)
    return ((rotation * moved.unsqueeze(1)).sum(dim=2) + (onto - fixed)).to(pos.dtype)


def _best_rotation(overlap: Tensor, allow_reflection: bool) -> Tensor:
    """The rotations (B, 3, 3) of largest tr(S R) for S (B, 3, 3)."""
    values, vectors = torch.linalg.eigh(_quadratic_form(overlap))  # in ascending order
    rotation = _rotation(_least_turning(values, vectors))
    if not allow_reflection:
        return rotation
    # The mirror image has the overlap -S, whose form is -K.
    mirrored = -_rotation(_least_turning(-values, vectors))
    improves = -values[:, 0] > values[:, 3] + _TIE * values.abs().amax(dim=1)
    return torch.where(improves[:, None, None], mirrored, rotation)


def _quadratic_form(overlap: Tensor) -> Tensor:
    """Horn's symmetric K (B, 4, 4), for quaternions (w, x, y, z)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(1) for row in overlap.unbind(1))
    entries = [
        *(xx + yy + zz, yz - zy, zx - xz, xy - yx),
        *(yz - zy, xx - yy - zz, xy + yx, zx + xz),
        *(zx - xz, xy + yx, yy - xx - zz, yz + zy),
        *(xy - yx, zx + xz, yz + zy, zz - xx - yy),
    ]
    return torch.stack(entries, dim=1).unflatten(1, (4, 4))


def _least_turning(values: Tensor, vectors: Tensor) -> Tensor:
    """The quaternion (B, 4) nearest to the identity (1, 0, 0, 0) among the eigenvectors of the largest eigenvalue."""
    largest, index = values.max(dim=1, keepdim=True)
    ties = values >= largest - _TIE * values.abs().amax(dim=1, keepdim=True)
    # The identity's projection into the space that they span; it is 0 where all of them turn by 180°.
    nearest = (vectors * (vectors[:, :1] * ties.unsqueeze(1))).sum(dim=2)
    length = torch.linalg.vector_norm(nearest, dim=1, keepdim=True)
    any_of_them = vectors.gather(2, index.unsqueeze(1).expand(-1, 4, 1)).squeeze(2)
    return torch.where(length > 1e-6, nearest / torch.where(length > 0, length, 1.0), any_of_them)


def _rotation(quaternion: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) of unit quaternions (B, 4)."""
    w, x, y, z = quaternion.unbind(1)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(entries, dim=1).unflatten(1, (3, 3))
