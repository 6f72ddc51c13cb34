"""Placing molecules: centring."""

from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter


def remove_mean(
    vectors: Float[Tensor, "atoms 3"], batch: Int[Tensor, " atoms"] | None, num_molecules: int | None = None
) -> Float[Tensor, "atoms 3"]:
    """Subtract from the vectors of each molecule their mean over its atoms.

    Args:
        vectors: Positions, displacements or forces, (N, 3).
        batch: Molecule of each atom, (N,); None for one molecule.
        num_molecules: Number of molecules, if known; otherwise it is read off `batch`, which waits for the device.

    Returns:
        Vectors of the same shape whose mean over every molecule is 0.
    """
    if batch is None:
        return vectors - vectors.mean(dim=0)
    return vectors - scatter(vectors, batch, dim=0, dim_size=num_molecules, reduce="mean")[batch]
