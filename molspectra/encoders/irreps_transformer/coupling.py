"""Spherical harmonics of directions, and how they couple features of one degree to another."""

import math
from itertools import product

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from molspectra.layers.constants import ExactConstants


class SphericalHarmonics(ExactConstants):
    """Y_l of a direction for l = 0 … l_max, in e3nn's order and "component" normalisation: |Y_l|² = 2l + 1.

    Y_0 = 1, Y_1 = √3 (x, y, z), and Y_{l+1} is the coupling of Y_l and Y_1 to degree l + 1, scaled. Polynomials of the
    direction, so that every derivative is finite; where the direction is 0 all but Y_0 vanish. (e3nn's own are scripted
    by a deprecated compiler of torch, and do not trace.)

    Args:
        l_max: The highest degree.

    Example:
        >>> SphericalHarmonics(l_max=2)(torch.eye(3)).shape
        torch.Size([3, 9])
    """

    def __init__(self, l_max: int) -> None:
        super().__init__(lambda: _raising_constants(l_max))
        self.l_max = l_max

    def forward(self, direction: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges components"]:
        """Directions (E, 3), of length 1 or 0 → (E, (l_max + 1)²)."""
        with torch.autocast(direction.device.type, enabled=False):
            degrees = [torch.ones_like(direction[:, :1])]
            vector = math.sqrt(3) * direction
            for degree in range(self.l_max):
                pairs = (degrees[-1].unsqueeze(2) * vector.unsqueeze(1)).flatten(1)
                degrees.append(pairs @ getattr(self, f"raise_{degree}"))
            return torch.cat(degrees, dim=1)


class SteerableBasis(ExactConstants):
    """The equivariant linear maps from features of one degree to another that a direction defines.

    For each path (l1, l2, l3) of :func:`coupling_paths`, a matrix that takes features of degree l1 to degree l3:

        B_{m3, m1} = √((2l3 + 1) / P) Σ_{m2} C_{m1, m2, m3} Y_{l2, m2},

    C being e3nn's Wigner 3j symbols and P the number of paths that lead to l3, so that features of variance 1 give
    features of variance 1. All paths to one l3 lie in one dense tensor, with columns for the features of all degrees.

    Args:
        l_max: The highest degree of features and harmonics.

    Example:
        >>> [basis.shape for basis in SteerableBasis(l_max=1)(torch.randn(9, 4))]
        [torch.Size([9, 2, 4]), torch.Size([9, 2, 12])]
    """

    def __init__(self, l_max: int) -> None:
        super().__init__(lambda: _path_constants(l_max))
        self.l_max = l_max

    def forward(self, harmonics: Float[Tensor, "edges components"]) -> tuple[Float[Tensor, "edges _ _"], ...]:
        """Harmonics (E, (l_max + 1)²) → for each l3 its paths' matrices, (E, P, (2l3 + 1) (l_max + 1)²)."""
        with torch.autocast(harmonics.device.type, enabled=False):
            return tuple(
                (harmonics @ getattr(self, f"to_{degree}")).unflatten(1, (len(coupling_paths(self.l_max, degree)), -1))
                for degree in range(self.l_max + 1)
            )


def coupling_paths(l_max: int, degree: int) -> list[tuple[int, int, int]]:
    """The (l1, l2, l3 = degree) by which features of l1 and harmonics of l2 couple, all of parity (-1)^l.

    Example:
        >>> coupling_paths(l_max=2, degree=1)
        [(0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 1, 1)]
    """
    degrees = range(l_max + 1)
    return [
        (l1, l2, degree)
        for l1, l2 in product(degrees, degrees)
        if abs(l1 - l2) <= degree <= l1 + l2 and (l1 + l2 + degree) % 2 == 0
    ]


def degree_slice(degree: int) -> slice:
    """Where the components of a degree lie among those of all degrees."""
    return slice(degree**2, (degree + 1) ** 2)


def _raising_constants(l_max: int) -> dict[str, Tensor]:
    """For each degree below l_max what takes the products of Y_l and Y_1 to Y_{l+1}, (3 (2l + 1), 2l + 3)."""
    constants = {}
    pole, harmonics = math.sqrt(3) * torch.tensor([0, 1, 0], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for degree in range(l_max):
        coupling = o3.wigner_3j(degree, 1, degree + 1, dtype=torch.float64).flatten(0, 1)
        harmonics = torch.outer(harmonics, pole).flatten() @ coupling
        # At e3nn's pole, y, all components but the middle one vanish; that is positive.
        scale = math.sqrt(2 * degree + 3) / harmonics[degree + 1]
        harmonics = harmonics * scale
        constants[f"raise_{degree}"] = coupling * scale
    return constants


def _path_constants(l_max: int) -> dict[str, Tensor]:
    """For each l3 what takes harmonics to the matrices of its paths, ((l_max + 1)², P (2l3 + 1) (l_max + 1)²)."""
    components = (l_max + 1) ** 2
    constants = {}
    for degree in range(l_max + 1):
        paths = coupling_paths(l_max, degree)
        constant = torch.zeros(components, len(paths), 2 * degree + 1, components, dtype=torch.float64)
        for index, (l1, l2, l3) in enumerate(paths):
            coupling = o3.wigner_3j(l1, l2, l3, dtype=torch.float64).permute(1, 2, 0)
            constant[degree_slice(l2), index, :, degree_slice(l1)] = coupling
        constants[f"to_{degree}"] = math.sqrt((2 * degree + 1) / len(paths)) * constant.flatten(1)
    return constants
