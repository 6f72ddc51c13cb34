"""Signals and probabilities on the sphere of directions."""

import math
from typing import NamedTuple

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from molspectra.layers.constants import ExactConstants


class SphereGrid(NamedTuple):
    """Points of the unit sphere, and how much of its area each stands for; made in float64 on the CPU.

    A softmax over points is a distribution over directions only if each point counts with its area: Σ_p w_p f(p) is
    then ∫ f dΩ / 4π, whichever way the grid is turned. Points lie on rings about the y axis, ring by ring.

    Example:
        >>> grid = SphereGrid.gauss_legendre(num_polar=8)
        >>> grid.points.shape, round(grid.log_weights.exp().sum().item(), 9)
        (torch.Size([128, 3]), 1.0)
    """

    points: Float[Tensor, "points 3"]
    """Unit vectors (G, 3)."""
    log_weights: Float[Tensor, " points"]
    """Logarithms of the shares w of the sphere's area, (G,); Σ w = 1."""

    @classmethod
    def gauss_legendre(cls, num_polar: int = 16) -> "SphereGrid":
        """n rings of 2n points, at the nodes of Gauss–Legendre quadrature in cos β.

        Exact for polynomials up to degree 2n - 1 in the direction.

        Raises:
            ValueError: `num_polar` is below 1.
        """
        _check_rings(num_polar, 2 * num_polar)
        cosines, weights = np.polynomial.legendre.leggauss(num_polar)
        # From the north pole down, as for the other grid.
        return cls._from_rings(np.arccos(cosines[::-1]), weights[::-1] / 2, 2 * num_polar)

    @classmethod
    def equal_angle(cls, num_polar: int = 100, num_azimuth: int = 101) -> "SphereGrid":
        """Rings at the polar angles β_b = π (b + ½) / n: the grid of `e3nn.o3.ToS2Grid`, with the areas of its cells.

        Raises:
            ValueError: `num_polar` or `num_azimuth` is below 1.
        """
        _check_rings(num_polar, num_azimuth)
        polar = math.pi * (np.arange(num_polar) + 0.5) / num_polar
        return cls._from_rings(polar, np.sin(polar) * math.sin(math.pi / (2 * num_polar)), num_azimuth)

    def unweighted(self) -> "SphereGrid":
        """The same points, each standing for the same area, as the released EMPP has it."""
        return SphereGrid(self.points, torch.full_like(self.log_weights, -math.log(len(self.points))))

    @classmethod
    def _from_rings(cls, polar: np.ndarray, weights: np.ndarray, num_azimuth: int) -> "SphereGrid":
        """Rings at polar angles (n,) of given shares (n,), each with its first point in the plane x = 0, z > 0."""
        beta, alpha = np.meshgrid(polar, 2 * math.pi * np.arange(num_azimuth) / num_azimuth, indexing="ij")
        points = np.stack([np.sin(beta) * np.sin(alpha), np.cos(beta), np.sin(beta) * np.cos(alpha)], axis=-1)
        log_weights = np.log(weights / num_azimuth).repeat(num_azimuth)
        return cls(torch.from_numpy(points.reshape(-1, 3)), torch.from_numpy(log_weights))


class PositionDistribution(NamedTuple):
    """Where an atom may be, seen from another: independent distributions of direction and distance."""

    direction: Float[Tensor, "pairs points"]
    """Log-probabilities of the grid's points, (E, G)."""
    radius: Float[Tensor, "pairs radii"]
    """Log-probabilities of the distances, (E, R)."""
    points: Float[Tensor, "points 3"]
    """The grid's points (G, 3)."""
    log_weights: Float[Tensor, " points"]
    """Logarithms of the shares of the sphere's area, (G,)."""
    radii: Float[Tensor, " radii"]
    """Distances in Å, (R,)."""

    def mean_direction(self) -> Float[Tensor, "pairs 3"]:
        """Unit vectors along the mean directions, (E, 3); 0 where the mean vanishes."""
        mean = self.direction.exp() @ self.points
        return mean * torch.rsqrt(mean.square().sum(dim=1, keepdim=True) + 1e-16)

    def mean_radius(self) -> Float[Tensor, " pairs"]:
        """Mean distances in Å, (E,)."""
        return self.radius.exp() @ self.radii


class SphereHarmonics(ExactConstants):
    """Evaluates a signal Σ_lm c_lm Y_lm(p) on a grid; harmonics real, orthonormal on the sphere, in e3nn's order.

    Args:
        grid: Where to evaluate.
        l_max: Highest degree.
    """

    points: Tensor
    log_weights: Tensor
    harmonics: Tensor

    def __init__(self, grid: SphereGrid, l_max: int) -> None:
        super().__init__(lambda: {**grid._asdict(), "harmonics": harmonics_at(grid.points, l_max)})

    def forward(self, coefficients: Float[Tensor, "rows dim channels"]) -> Float[Tensor, "rows channels points"]:
        """Coefficients (N, (l_max + 1)², C) → values (N, C, G)."""
        return coefficients.mT @ self.harmonics.to(coefficients.dtype).T


def harmonics_at(points: Float[Tensor, "points 3"], l_max: int) -> Float[Tensor, "points dim"]:
    """Real spherical harmonics of degrees 0 to l_max, (G, (l_max + 1)²), orthonormal on the sphere, in e3nn's order."""
    return o3.spherical_harmonics(list(range(l_max + 1)), points, normalize=True, normalization="integral")


def _check_rings(num_polar: int, num_azimuth: int) -> None:
    if num_polar < 1 or num_azimuth < 1:
        raise ValueError(f"A grid needs rings and points on them; got num_polar={num_polar}, {num_azimuth} a ring.")
