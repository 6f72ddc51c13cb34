"""Bases of angles and torsions: spherical Bessel functions of a length times real spherical harmonics."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra.encoders.base import Edges
from molspectra.encoders.get.bessel import NUM_ORDERS, NUM_RADIAL, SphericalBesselBasis
from molspectra.encoders.get.mean_torsion import mean_torsion
from molspectra.encoders.get.nearest_torsion import nearest_torsion
from molspectra.encoders.get.neighborhood import Triplets
from molspectra.geometry.edge_pairs import edge_pairs

# Normalization of the real spherical harmonics of order l and |m|.
_Y00 = math.sqrt(1 / (4 * math.pi))
_Y1 = math.sqrt(3 / (4 * math.pi))
_Y20 = math.sqrt(5 / (16 * math.pi))
_Y2 = math.sqrt(15 / (4 * math.pi))


class TripletBasis(nn.Module):
    """Functions of the length r_kj, the angle θ and the torsion φ of consecutive edges k → j → i.

    The angle basis is B_ln(r_kj) Y_l0(θ), and the torsion basis B_ln(r_kj) Y_lm(θ, φ), after SphereNet
    (arXiv:2102.05013). φ is the angle about the axis j → i from k to another neighbor q of j.

    By default, sinᵐθ cos mφ is the mean of sinᵐθ sinᵐθ_q cos mφ_q over all q (:func:`.mean_torsion`), a polynomial of
    the directions and the same for mirror images. The harmonics have m = 0, 1, 2.

    As released, φ is that of the nearest q (:func:`.nearest_torsion`). The harmonics include those of sin mφ, with the
    opposite sign in mirror images. The order of B is not l, but the place of the harmonic among all nine, modulo 3.

    Args:
        cutoff: r_c in Å.
        as_released: See above.
    """

    def __init__(self, cutoff: float, as_released: bool = False) -> None:
        super().__init__()
        self.bessel = SphericalBesselBasis(cutoff, as_released)
        self.as_released = as_released
        self.num_angles = NUM_ORDERS * NUM_RADIAL
        self.num_torsions = (9 if as_released else 6) * NUM_RADIAL

    def forward(self, edges: Edges, envelope: Float[Tensor, " edges"], z: Int[Tensor, " atoms"]) -> Triplets:
        """Return the triplets of edges between different atoms, which are sorted by target.

        Args:
            edges: Edges with their lengths and directions.
            envelope: Cutoff envelope of the edges, (E,).
            z: Atomic numbers (N,).
        """
        inner, outer = edge_pairs(edges.index, z)
        along, axis = edges.direction.index_select(0, inner), -edges.direction.index_select(0, outer)
        cosine = (along * axis).sum(dim=1)
        zonal = torch.stack([torch.full_like(cosine, _Y00), _Y1 * cosine, _Y20 * (3 * cosine.square() - 1)], dim=1)
        if self.as_released:
            y = _released_harmonics(cosine, along, axis, outer, edges.index.shape[1])
            harmonics = torch.stack([zonal[:, 0], zonal[:, 1], *y[:2], zonal[:, 2], *y[2:]], dim=1)
            orders = [0, 1, 2] * NUM_ORDERS
        else:
            first, second = mean_torsion(edges, envelope, inner, outer, z.shape[0])
            others = torch.stack([-_Y1 * first, -_Y2 * cosine * first, 0.5 * _Y2 * second], dim=1)
            harmonics = torch.cat([zonal, others], dim=1)
            orders = [0, 1, 2, 1, 2, 2]
        radial = self.bessel(edges.distance).index_select(0, inner)
        of_harmonics = torch.stack([radial[:, order] for order in orders], dim=1)
        angle_basis, torsion_basis = radial * zonal.unsqueeze(2), of_harmonics * harmonics.unsqueeze(2)
        return Triplets(inner, outer, angle_basis.flatten(1), torsion_basis.flatten(1))


def _released_harmonics(cosine: Tensor, along: Tensor, axis: Tensor, outer: Tensor, num_edges: int) -> list[Tensor]:
    """Return the harmonics with m ≠ 0 in the released order: Y_1±1, Y_2±1 and Y_2±2 with cos and sin of φ."""
    square = torch.linalg.cross(axis, along).square().sum(dim=1)
    on_axis = square == 0  # where the slope of the root is infinite
    sine = torch.where(on_axis, 0.0, torch.sqrt(torch.where(on_axis, 1.0, square)))
    torsion = nearest_torsion(along, axis, outer, num_edges)
    cos1, sin1, cos2, sin2 = torch.cos(torsion), torch.sin(torsion), torch.cos(2 * torsion), torch.sin(2 * torsion)
    first, second, third = -_Y1 * sine, -_Y2 * sine * cosine, 0.5 * _Y2 * sine.square()
    return [first * cos1, first * sin1, second * cos1, third * cos2, third * sin2, second * sin1]
