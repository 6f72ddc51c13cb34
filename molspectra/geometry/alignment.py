"""Centering of molecules, and rigid alignment of one conformer with another."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter

from molspectra._validation import check_tensor, check_tensors

# Relative difference below which the overlaps of two rotations count as equal, well above rounding in float64.
_TIE = 1e-12


def remove_mean(
    vectors: Float[Tensor, "atoms 3"], batch: Int[Tensor, " atoms"] | None, num_molecules: int | None = None
) -> Float[Tensor, "atoms 3"]:
    """Subtract the mean over each molecule from the vectors of its atoms.

    Args:
        vectors: Positions, displacements or forces, (N, 3).
        batch: Molecule of each atom, (N,), or None for one molecule.
        num_molecules: Number of molecules, if known. Without it the host reads it off `batch` and waits for the device.

    Returns:
        Vectors of the same shape, whose mean over every molecule is 0.
    """
    check_tensor("vectors", vectors)
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
    """Align each molecule as a rigid body with another conformer of itself, by least squares over its atoms.

    The optimal R and t minimise Σ_i |R x_i + t - y_i|² (Kabsch, Acta Cryst. A32, 922, 1976). They are found by unit
    quaternions (Horn, J. Opt. Soc. Am. A 4, 629, 1987). With centered x and y and S = Σ_i x_i y_iᵀ, the overlap tr(S R)
    is a quadratic form qᵀ K q, and the optimal rotation is the eigenvector of K with the largest eigenvalue. The
    optimal *improper* rotation, a rotation of the mirror image -x, is the eigenvector with the smallest eigenvalue. All
    molecules are aligned at once, in float64.

    Several rotations can be optimal, such as those of a linear molecule about its axis. The one with the smallest angle
    is taken, so that lone atoms and coincident atoms are only translated. If a proper and an improper rotation are
    equally good, as for a planar molecule, the proper one is taken.

    R is treated as a constant in the backward pass. The gradient of the squared distance is still exact, because the
    distance does not depend on R to first order at its minimum.

    Args:
        pos: Positions x in Å, (N, 3).
        onto: Positions y of the same atoms, (N, 3).
        batch: Molecule of each atom, (N,), or None for one molecule.
        allow_reflection: Accept a mirror image if it lies closer. By default only rotations are considered.
        num_molecules: Number of molecules, if known. Without it the host reads it off `batch` and waits for the device.

    Returns:
        The aligned positions, (N, 3).

    Example:
        >>> pos = torch.randn(5, 3)
        >>> moved = pos @ ms.geometry.rotation_matrix(torch.ones(3), torch.tensor(2.0)).T + 7
        >>> torch.allclose(kabsch_align(moved, pos), pos, atol=1e-5)
        True
    """
    check_tensors(pos=pos, onto=onto)
    if batch is None:
        batch, num_molecules = torch.zeros(len(pos), dtype=torch.int64, device=pos.device), 1
    double, onto = pos.double(), onto.double()
    # The optimal translation makes the centers coincide, whatever the rotation.
    moved = remove_mean(double, batch, num_molecules)
    fixed = remove_mean(onto, batch, num_molecules)
    with torch.no_grad():
        overlap = scatter(moved.unsqueeze(2) * fixed.unsqueeze(1), batch, dim=0, dim_size=num_molecules, reduce="sum")
        rotation = _best_rotation(overlap, allow_reflection).index_select(0, batch)
    # A sum of products rather than a matrix product, which autocast would round to half precision.
    return ((rotation * moved.unsqueeze(1)).sum(dim=2) + (onto - fixed)).to(pos.dtype)


def _best_rotation(overlap: Tensor, allow_reflection: bool) -> Tensor:
    """Return the rotations (B, 3, 3) that maximise tr(S R) for S (B, 3, 3)."""
    values, vectors = torch.linalg.eigh(_quadratic_form(overlap))  # eigenvalues in ascending order
    rotation = _rotation(_least_turning(values, vectors))
    if not allow_reflection:
        return rotation
    # The mirror image -x has the overlap -S and therefore the form -K: same eigenvectors, opposite eigenvalues.
    mirrored = -_rotation(_least_turning(-values, vectors))
    improves = -values[:, 0] > values[:, 3] + _TIE * values.abs().amax(dim=1)
    return torch.where(improves[:, None, None], mirrored, rotation)


def _quadratic_form(overlap: Tensor) -> Tensor:
    """Return Horn's symmetric matrix K (B, 4, 4) for quaternions (w, x, y, z)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(1) for row in overlap.unbind(1))
    entries = [
        *(xx + yy + zz, yz - zy, zx - xz, xy - yx),
        *(yz - zy, xx - yy - zz, xy + yx, zx + xz),
        *(zx - xz, xy + yx, yy - xx - zz, yz + zy),
        *(xy - yx, zx + xz, yz + zy, zz - xx - yy),
    ]
    return torch.stack(entries, dim=1).unflatten(1, (4, 4))


def _least_turning(values: Tensor, vectors: Tensor) -> Tensor:
    """Return the eigenvector (B, 4) of the largest eigenvalue that is nearest to the identity (1, 0, 0, 0)."""
    largest, index = values.max(dim=1, keepdim=True)
    # A degenerate eigenvalue leaves a choice within its eigenspace.
    ties = values >= largest - _TIE * values.abs().amax(dim=1, keepdim=True)
    # Project the identity into this eigenspace. The projection is 0 if all of its rotations are by 180°.
    nearest = (vectors * (vectors[:, :1] * ties.unsqueeze(1))).sum(dim=2)
    length = torch.linalg.vector_norm(nearest, dim=1, keepdim=True)
    fallback = vectors.gather(2, index.unsqueeze(1).expand(-1, 4, 1)).squeeze(2)
    return torch.where(length > 1e-6, nearest / torch.where(length > 0, length, 1.0), fallback)


def _rotation(quaternion: Tensor) -> Tensor:
    """Return the rotation matrices (B, 3, 3) of unit quaternions (B, 4)."""
    w, x, y, z = quaternion.unbind(1)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(entries, dim=1).unflatten(1, (3, 3))
