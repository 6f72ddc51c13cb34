"""Gradients by the released SliDe: finite differences along random directions, inverted by least squares."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import to_dense_batch

from molspectra.geometry.internal_coordinates import internal_coordinates, wrap_angle


def finite_difference_slices(
    pos: Float[Tensor, "atoms 3"],
    terms: Sequence[Int[Tensor, "_ _"]],
    gradients: Sequence[Float[Tensor, " _"]],
    slices: Float[Tensor, "slices atoms 3"],
    batch: Int[Tensor, " atoms"],
    step: float = 0.001,
) -> Float[Tensor, "slices molecules"]:
    """Compute b_s = Σ_d g_d (d(x + h v_s) - d(x)) for each slice and molecule, in kcal/mol: about h ∇E·v_s.

    Args:
        pos: x in Å, (N, 3), float64. Differences over 0.001 Å would have three digits in float32.
        terms: Bonds (2, B), angles (3, A) and torsions (4, T).
        gradients: g = ∂E/∂d of the bonds, angles and torsions, (B,), (A,), (T,).
        slices: Directions v_s, (S, N, 3).
        batch: Molecule of each atom, (N,).
        step: h in Å.
    """
    bond_index, angle_index, torsion_index = terms
    before = internal_coordinates(pos, bond_index, angle_index, torsion_index)
    after = internal_coordinates(pos + step * slices, bond_index, angle_index, torsion_index)
    total = pos.new_zeros(len(slices), int(batch[-1]) + 1)
    for kind, (index, gradient) in enumerate(zip(terms, gradients, strict=True)):
        change = after[kind] - before[kind]
        change = wrap_angle(change) if kind == 2 else change  # torsions are periodic
        # A term belongs to the molecule of any of its atoms.
        total = total.index_add(1, batch[index[1]], gradient * change)
    return total


def least_squares_gradient(
    along: Float[Tensor, "slices molecules"],
    slices: Float[Tensor, "slices atoms 3"],
    batch: Int[Tensor, " atoms"],
) -> Float[Tensor, "atoms 3"]:
    """Return the least-squares solution f (N, 3) of f·v_s = b_s for each molecule, of least norm if there are several.

    With at least 3N slices it is the gradient from which b was computed. With fewer, it is the projection of the
    gradient onto the slices.
    """
    num_slices, num_molecules = along.shape
    # Pad molecules to one size: a column of zeros gets a 0 in the solution of least norm.
    matrix, filled = to_dense_batch(slices.transpose(0, 1).flatten(1), batch, batch_size=num_molecules)
    matrix = matrix.unflatten(2, (num_slices, 3)).transpose(1, 2).flatten(2)
    solution = torch.linalg.pinv(matrix) @ along.t().unsqueeze(2)
    return solution.squeeze(2).unflatten(1, (-1, 3))[filled]
