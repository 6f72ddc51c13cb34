"""Molecules to test with: random ones, and those at the edge of what an encoder meets."""

import torch
from torch import Tensor

EDGE_MOLECULES: dict[str, tuple[list[int], list[list[float]]]] = {
    "lone atom": ([11], [[0.3, -0.2, 0.1]]),
    "diatomic": ([1, 1], [[0.0, 0.0, 0.0], [0.43, 0.43, 0.43]]),
    "linear": ([8, 6, 8], [[0.67, 0.67, 0.67], [0.0, 0.0, 0.0], [-0.67, -0.67, -0.67]]),
    "planar": ([6, 8, 1, 1], [[0.0, 0.0, 0.0], [0.9, 0.8, 0.0], [0.2, -1.1, 0.0], [-1.0, 0.4, 0.0]]),
    "tetrahedral": (
        [6, 1, 1, 1, 1],
        [[0, 0, 0], [0.63, 0.63, 0.63], [-0.63, -0.63, 0.63], [-0.63, 0.63, -0.63], [0.63, -0.63, -0.63]],
    ),
    "coincident": ([6, 8, 1], [[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [1.2, 0.0, 0.0]]),
    "apart": ([10, 18], [[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]]),
}
"""Single molecules by name: atomic numbers, and positions in Å."""


def edge_molecule(name: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return one of `EDGE_MOLECULES`: z (N,) and pos (N, 3) in Å."""
    z, pos = EDGE_MOLECULES[name]
    return torch.tensor(z), torch.tensor(pos, dtype=dtype)


def random_molecules(
    sizes: tuple[int, ...] = (5, 1, 8), dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Return random light atoms at chemically sensible distances.

    Args:
        sizes: Number of atoms of each molecule, at most 27.
        dtype: Precision of the positions.

    Returns:
        z (N,), pos (N, 3) in Å, and batch (N,).
    """
    z = torch.randint(1, 10, (sum(sizes),))
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    # Distinct points of a 1.2 Å grid, shaken a little: no two atoms come close to each other.
    grid = torch.cartesian_prod(*[torch.arange(3, dtype=torch.float32)] * 3)
    points = torch.cat([grid[torch.randperm(27)[:size]] for size in sizes])
    return z, (1.2 * points + 0.3 * torch.rand(points.shape, dtype=torch.float32)).to(dtype), batch
