"""Distribution of the position of an atom, as another atom sees it."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._repr import fields_repr


class PositionDistribution(NamedTuple):
    """Independent distributions of the direction and of the distance from one atom to another."""

    direction: Float[Tensor, "pairs points"]
    """Log-probabilities of the points of the grid on the sphere, (E, G)."""
    radius: Float[Tensor, "pairs radii"]
    """Log-probabilities of the distances, (E, R)."""
    points: Float[Tensor, "points 3"]
    """Points of the grid, unit vectors (G, 3)."""
    log_weights: Float[Tensor, " points"]
    """Logarithms of the share of the sphere's area that each point stands for, (G,)."""
    radii: Float[Tensor, " radii"]
    """Distances in Å, (R,)."""

    def __repr__(self) -> str:
        return fields_repr(self)

    def mean_direction(self) -> Float[Tensor, "pairs 3"]:
        """Return unit vectors along the mean directions, (E, 3), and 0 where the mean vanishes."""
        mean = self.direction.exp() @ self.points
        # 1e-16 keeps the gradient finite for a uniform distribution, whose mean is 0.
        return mean * torch.rsqrt(mean.square().sum(dim=1, keepdim=True) + 1e-16)

    def mean_radius(self) -> Float[Tensor, " pairs"]:
        """Return the mean distances in Å, (E,)."""
        return self.radius.exp() @ self.radii
