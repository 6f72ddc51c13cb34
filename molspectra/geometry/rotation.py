"""Rotation matrices."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotation_matrix(axis: Float[Tensor, "*n 3"], angle: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3 3"]:
    """Rotation about an axis by an angle in rad, right-handed (Rodrigues' formula).

    R = 1 + sin(α) K + 2 sin²(α/2) K², where K x = n × x for the unit vector n along the axis. The axis may have any
    length; one of length 0 gives the identity.

    Example:
        >>> quarter = rotation_matrix(torch.tensor([0., 0, 2]), torch.tensor(torch.pi / 2))
        >>> torch.allclose(quarter @ torch.tensor([1., 0, 0]), torch.tensor([0., 1, 0]), atol=1e-6)
        True
    """
    square = axis.square().sum(-1, keepdim=True)
    zero = square < torch.finfo(axis.dtype).tiny
    n = torch.where(zero, 0.0, axis * torch.where(zero, 1.0, square).rsqrt())
    x, y, z = n.unbind(-1)
    none = torch.zeros_like(x)
    skew = torch.stack([none, -z, y, z, none, -x, -y, x, none], dim=-1).unflatten(-1, (3, 3))
    angle = angle[..., None, None]
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return identity + angle.sin() * skew + 2 * (angle / 2).sin().square() * (skew @ skew)
