"""Spherical harmonics of the directions of edges."""

import math

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from molspectra.layers.constants import ExactConstants


class SphericalHarmonics(ExactConstants):
    """Harmonics Y_l of a direction for l = 0 … l_max, in e3nn's order and "component" normalization: |Y_l|² = 2l + 1.

    Y_0 = 1 and Y_1 = √3 (x, y, z). Y_{l+1} is the coupling of Y_l and Y_1 to degree l + 1, scaled. The harmonics are
    thus polynomials of the direction, with finite derivatives of every order. Where the direction is 0, all but Y_0
    vanish. e3nn's own harmonics are scripted by a deprecated compiler of torch, and do not trace.

    Args:
        l_max: Highest degree.

    Example:
        >>> SphericalHarmonics(l_max=2)(torch.eye(3)).shape
        torch.Size([3, 9])
    """

    def __init__(self, l_max: int) -> None:
        super().__init__(lambda: _raising_constants(l_max))
        self.l_max = l_max

    def forward(self, direction: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges components"]:
        """Compute the harmonics (E, (l_max + 1)²) of directions (E, 3) of length 1 or 0."""
        # Half precision would break the equivariance of all layers.
        with torch.autocast(direction.device.type, enabled=False):
            degrees = [torch.ones_like(direction[:, :1])]
            vector = math.sqrt(3) * direction
            for degree in range(self.l_max):
                products = (degrees[-1].unsqueeze(2) * vector.unsqueeze(1)).flatten(1)
                degrees.append(products @ getattr(self, f"raise_{degree}"))
            return torch.cat(degrees, dim=1)


def _raising_constants(l_max: int) -> dict[str, Tensor]:
    """Compute, for each l below l_max, the matrix (3 (2l + 1), 2l + 3) that takes products Y_l Y_1 to Y_{l+1}."""
    constants = {}
    pole, harmonics = math.sqrt(3) * torch.tensor([0, 1, 0], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for degree in range(l_max):
        coupling = o3.wigner_3j(degree, 1, degree + 1, dtype=torch.float64).flatten(0, 1)
        harmonics = torch.outer(harmonics, pole).flatten() @ coupling
        # Wigner 3j symbols fix the harmonics up to a factor. At e3nn's pole, y, all components vanish but the middle
        # one, which is √(2l + 3) for degree l + 1.
        scale = math.sqrt(2 * degree + 3) / harmonics[degree + 1]
        harmonics = harmonics * scale
        constants[f"raise_{degree}"] = coupling * scale
    return constants
