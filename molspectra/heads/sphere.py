"""Grids on the sphere of directions, and spherical harmonics on them."""

import math
from typing import NamedTuple

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from molspectra._repr import fields_repr
from molspectra.layers.constants import ExactConstants


class SphereGrid(NamedTuple):
    """Points of the unit sphere with the share of its area that each stands for, in float64 on the CPU.

    A softmax over points is a distribution over directions only if each point counts with its area: Σ_p w_p f(p) is
    then ∫ f dΩ / 4π in every orientation of the grid. Points are sorted by rings about the y axis.

    Example:
        >>> grid = SphereGrid.gauss_legendre(num_polar=8)
        >>> grid.points.shape, round(grid.log_weights.exp().sum().item(), 9)
        (torch.Size([128, 3]), 1.0)
    """

    points: Float[Tensor, "points 3"]
    """Unit vectors (G, 3)."""
    log_weights: Float[Tensor, " points"]
    """Logarithms of the shares w of the sphere's area, (G,), with Σ w = 1."""

    def __repr__(self) -> str:
        return fields_repr(self)

    @classmethod
    def gauss_legendre(cls, num_polar: int = 16) -> "SphereGrid":
        """Return n rings of 2n points, at the nodes of Gauss–Legendre quadrature in cos β.

        It integrates polynomials up to degree 2n - 1 in the direction exactly.

        Raises:
            ValueError: `num_polar` is below 1.
        """
        # A polynomial has Fourier modes |m| < 2n in the azimuth, which 2n equidistant points sum to 0 except m = 0. The
        # mode m = 0 is a polynomial in cos β of degree below 2n, for which n Gauss–Legendre nodes are exact.
        _check_rings(num_polar, 2 * num_polar)
        cosines, weights = np.polynomial.legendre.leggauss(num_polar)
        # From the north pole down, as in the other grid.
        return cls._from_rings(np.arccos(cosines[::-1]), weights[::-1] / 2, 2 * num_polar)

    @classmethod
    def equal_angle(cls, num_polar: int = 100, num_azimuth: int = 101) -> "SphereGrid":
        """Return rings at the polar angles β_b = π (b + ½) / n: the grid of `e3nn.o3.ToS2Grid`, with exact cell areas.

        Raises:
            ValueError: `num_polar` or `num_azimuth` is below 1.
        """
        _check_rings(num_polar, num_azimuth)
        polar = math.pi * (np.arange(num_polar) + 0.5) / num_polar
        # Share of the ring between β ± π/2n: ½ [cos(β - π/2n) - cos(β + π/2n)] = sin β sin(π/2n).
        return cls._from_rings(polar, np.sin(polar) * math.sin(math.pi / (2 * num_polar)), num_azimuth)

    def unweighted(self) -> "SphereGrid":
        """Return the same points with equal shares of the area, as in the released EMPP."""
        return SphereGrid(self.points, torch.full_like(self.log_weights, -math.log(len(self.points))))

    @classmethod
    def _from_rings(cls, polar: np.ndarray, weights: np.ndarray, num_azimuth: int) -> "SphereGrid":
        """Return rings at polar angles (n,) with given shares (n,), the first point of each at x = 0, z > 0."""
        beta, alpha = np.meshgrid(polar, 2 * math.pi * np.arange(num_azimuth) / num_azimuth, indexing="ij")
        points = np.stack([np.sin(beta) * np.sin(alpha), np.cos(beta), np.sin(beta) * np.cos(alpha)], axis=-1)
        log_weights = np.log(weights / num_azimuth).repeat(num_azimuth)
        return cls(torch.from_numpy(points.reshape(-1, 3)), torch.from_numpy(log_weights))


class SphereHarmonics(ExactConstants):
    """Evaluation of a signal Σ_lm c_lm Y_lm(p) on a grid, with real, orthonormal harmonics in e3nn's order.

    Args:
        grid: Points at which the signal is evaluated.
        l_max: Highest degree.
    """

    points: Tensor
    log_weights: Tensor
    harmonics: Tensor

    def __init__(self, grid: SphereGrid, l_max: int) -> None:
        super().__init__(lambda: {**grid._asdict(), "harmonics": harmonics_at(grid.points, l_max)})

    def forward(self, coefficients: Float[Tensor, "rows dim channels"]) -> Float[Tensor, "rows channels points"]:
        """Map coefficients (N, (l_max + 1)², C) to values (N, C, G)."""
        return coefficients.mT @ self.harmonics.to(coefficients.dtype).T


def harmonics_at(points: Float[Tensor, "points 3"], l_max: int) -> Float[Tensor, "points dim"]:
    """Return the real spherical harmonics of degrees 0 … l_max, (G, (l_max + 1)²), orthonormal, in e3nn's order."""
    return o3.spherical_harmonics(list(range(l_max + 1)), points, normalize=True, normalization="integral")


def _check_rings(num_polar: int, num_azimuth: int) -> None:
    if num_polar < 1 or num_azimuth < 1:
        raise ValueError(
            f"num_polar and num_azimuth (points per ring) must be at least 1; got {num_polar} and {num_azimuth}."
        )
