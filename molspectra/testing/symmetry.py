"""Random rotations and reflections, and features that must turn with the molecule."""

import torch
from e3nn import o3
from torch import Tensor

from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.testing.comparison import assert_features_close, by_degree


def random_orthogonal(dtype: torch.dtype, determinant: int = 1) -> Tensor:
    """Return a uniformly random rotation (determinant 1) or improper rotation (determinant -1), (3, 3)."""
    q, r = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    # The QR decomposition fixes the signs of columns by convention. Those of R make Q uniform over the group.
    q = q * r.diagonal().sign()
    return (q * (determinant * torch.linalg.det(q)).sign()).to(dtype)


def wigner(degree: int, turn: Tensor) -> Tensor:
    """Return the matrix by which an orthogonal matrix turns the components of a degree l, of parity (-1)^l.

    It is solved for, to rounding, from Y(R x) = D Y(x) at random directions x.

    Args:
        degree: Degree l.
        turn: Orthogonal matrix R (3, 3), float64.

    Returns:
        D, (2l + 1, 2l + 1), float64.
    """
    directions = torch.randn(64, 3, dtype=torch.float64)
    harmonics, turned = (o3.spherical_harmonics(degree, x, normalize=True) for x in (directions, directions @ turn.T))
    return torch.linalg.lstsq(harmonics, turned).solution.T


def assert_equivariant(encoder: Encoder, z: Tensor, pos: Tensor, batch: Tensor | None, tolerance: float) -> None:
    """Check that features turn with the molecule as their degrees require.

    The molecule is rotated once, reflected once, and moved both times.

    Args:
        encoder: Encoder under test.
        z: Atomic numbers (N,).
        pos: Positions in Å, (N, 3).
        batch: Molecule of each atom (N,), or None for one molecule.
        tolerance: Largest error, see :func:`assert_close`.

    Raises:
        AssertionError: Some features do not turn.
    """
    atoms = encoder(z, pos, batch)
    for determinant in (1, -1):
        turn = random_orthogonal(torch.float64, determinant)
        moved = encoder(z, pos @ turn.to(pos.dtype).T + torch.randn(3, dtype=pos.dtype), batch)
        turned = [wigner(degree, turn).to(pos.dtype) @ features for degree, features in enumerate(by_degree(atoms))]
        expected = AtomFeatures(turned[0].squeeze(1), turned[1] if len(turned) > 1 else None, tuple(turned[2:]))
        kind = "rotation" if determinant == 1 else "reflection"
        assert_features_close(moved, expected, tolerance, f"features under {kind}")
