"""Equivariant linear maps between features of different degrees."""

import math
from itertools import product

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from molspectra.encoders.irreps_transformer.degrees import degree_slice
from molspectra.layers.constants import ExactConstants


class SteerableBasis(ExactConstants):
    """Equivariant linear maps from features of one degree to another that a direction defines.

    For each path (l1, l2, l3) of :func:`coupling_paths`, a matrix takes features of degree l1 to degree l3:

        B_{m3, m1} = √((2l3 + 1) / P) Σ_{m2} C_{m1, m2, m3} Y_{l2, m2}

    C are e3nn's Wigner 3j symbols, and P is the number of paths that lead to l3, so that features of variance 1 give
    features of variance 1. All paths to one l3 lie in one dense tensor, with columns for the features of all degrees.

    Args:
        l_max: Highest degree of features and harmonics.

    Example:
        >>> [basis.shape for basis in SteerableBasis(l_max=1)(torch.randn(9, 4))]
        [torch.Size([9, 2, 4]), torch.Size([9, 2, 12])]
    """

    def __init__(self, l_max: int) -> None:
        super().__init__(lambda: _path_constants(l_max))
        self.l_max = l_max

    def forward(self, harmonics: Float[Tensor, "edges components"]) -> tuple[Float[Tensor, "edges _ _"], ...]:
        """Compute, for each l3, the matrices (E, P, (2l3 + 1) (l_max + 1)²) of its paths from Y (E, (l_max + 1)²)."""
        # Half precision would break the equivariance of all layers.
        with torch.autocast(harmonics.device.type, enabled=False):
            return tuple(
                (harmonics @ getattr(self, f"to_{degree}")).unflatten(1, (len(coupling_paths(self.l_max, degree)), -1))
                for degree in range(self.l_max + 1)
            )


def coupling_paths(l_max: int, degree: int) -> list[tuple[int, int, int]]:
    """List the paths (l1, l2, l3 = degree) along which features of l1 and harmonics of l2 couple to degree l3.

    Example:
        >>> coupling_paths(l_max=2, degree=1)
        [(0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 1, 1)]
    """
    degrees = range(l_max + 1)
    # The triangle rule of angular momenta, and parity: all features have parity (-1)^l, so that l1 + l2 + l3 is even.
    return [
        (l1, l2, degree)
        for l1, l2 in product(degrees, degrees)
        if abs(l1 - l2) <= degree <= l1 + l2 and (l1 + l2 + degree) % 2 == 0
    ]


def _path_constants(l_max: int) -> dict[str, Tensor]:
    """Compute, for each l3, the matrix ((l_max + 1)², P (2l3 + 1) (l_max + 1)²) that takes harmonics to its paths."""
    components = (l_max + 1) ** 2
    constants = {}
    for degree in range(l_max + 1):
        paths = coupling_paths(l_max, degree)
        constant = torch.zeros(components, len(paths), 2 * degree + 1, components, dtype=torch.float64)
        for index, (l1, l2, l3) in enumerate(paths):
            coupling = o3.wigner_3j(l1, l2, l3, dtype=torch.float64).permute(1, 2, 0)
            constant[degree_slice(l2), index, :, degree_slice(l1)] = coupling
        # √(2l3 + 1) undoes the normalization of the 3j symbols, and √P the sum over paths.
        constants[f"to_{degree}"] = math.sqrt((2 * degree + 1) / len(paths)) * constant.flatten(1)
    return constants
