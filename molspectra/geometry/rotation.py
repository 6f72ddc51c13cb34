"""Rotation matrices."""

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._validation import check_tensors


def rotation_matrix(axis: Float[Tensor, "*n 3"], angle: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3 3"]:
    """Return right-handed rotations about axes of any length by angles in rad (Rodrigues' formula).

    R = cos(α) 1 + sin(α) [n]ₓ + 2 sin²(α/2) n nᵀ, with the unit vector n along the axis. An axis of length 0 gives the
    identity.

    Example:
        >>> quarter = rotation_matrix(torch.tensor([0., 0, 2]), torch.tensor(torch.pi / 2))
        >>> torch.allclose(quarter @ torch.tensor([1., 0, 0]), torch.tensor([0., 1, 0]), atol=1e-6)
        True
    """
    check_tensors(axis=axis, angle=angle)
    return rotation_components(axis.movedim(-1, 0), angle).movedim((0, 1), (-2, -1))


def rotation_components(axis: Float[Tensor, "3 *n"], angle: Float[Tensor, "*n"]) -> Float[Tensor, "3 3 *n"]:
    """Return :func:`rotation_matrix` with the Cartesian components first."""
    # An axis of length 0 has no direction: its angle is set to 0, with finite derivatives.
    square = axis.square().sum(0)
    zero = square < torch.finfo(axis.dtype).tiny
    n = axis * torch.where(zero, 1.0, square).rsqrt()
    angle = torch.where(zero, 0.0, angle)
    turned = n * angle.sin()
    (x, y, z), (minus_x, minus_y, minus_z), none = turned, -turned, torch.zeros_like(angle)
    sine = torch.stack([none, minus_z, y, z, none, minus_x, minus_y, x, none]).unflatten(0, (3, 3))
    # 1 - cos α without cancellation at small angles.
    versine = 2 * (angle / 2).sin().square()
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device).view(3, 3, *[1] * angle.dim())
    return torch.addcmul(identity + sine, versine, n.unsqueeze(0) * n.unsqueeze(1) - identity)
