"""Layout of features of several degrees: components of degree 0, 1, 2, … one after the other."""

from jaxtyping import Float
from torch import Tensor


def degree_slice(degree: int) -> slice:
    """Return the place of the components of a degree among those of all degrees."""
    return slice(degree**2, (degree + 1) ** 2)


def split_degrees(
    features: Float[Tensor, "atoms components channels"], l_max: int
) -> tuple[Float[Tensor, "atoms _ channels"], ...]:
    """Split features (N, (l_max + 1)², F) into those of each degree l, (N, 2l + 1, F)."""
    return features.split([2 * degree + 1 for degree in range(l_max + 1)], dim=1)
