"""Torsion to the nearest other neighbor, as released by SliDe and SphereNet."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def nearest_torsion(
    along: Float[Tensor, "triplets 3"],
    axis: Float[Tensor, "triplets 3"],
    outer: Int[Tensor, " triplets"],
    num_edges: int,
) -> Float[Tensor, " triplets"]:
    """Compute the smallest right-handed rotation about the axis j → i that takes k onto another neighbor of j.

    The release compares k with itself as well, and finds no rotation or a full one, by the rounding of its device. Here
    k is left out. Neighbors in one plane with the axis are at 0 or 2π, which rounding decides as well.

    The nearest neighbor is the next one in the order of the angles about the axis. Sorting costs less than comparing
    all pairs of neighbors.

    Args:
        along: Unit vectors from j to k, (T, 3).
        axis: Unit vectors from j to i, (T, 3).
        outer: Numbers of the edges j → i, (T,), ascending.
        num_edges: Number of edges E.

    Returns:
        Rotation in (0, 2π] (T,), 2π where j has no other neighbor.
    """
    size = torch.zeros(num_edges, dtype=torch.int64, device=outer.device)
    size = size.scatter_add(0, outer, torch.ones_like(outer))
    last = size.cumsum(0).index_select(0, outer) - 1
    first = last + 1 - size.index_select(0, outer)
    order = _by_angle(along.detach(), axis.detach(), outer)
    position = torch.arange(outer.shape[0], device=outer.device)
    following = torch.where(position == last, first, position + 1)
    nearest = torch.empty_like(order).scatter(0, order, order.index_select(0, following))

    # Not from scalar products of `along`, which cancel where k is nearly on the axis.
    normal = torch.linalg.cross(axis, along)
    other = normal.index_select(0, nearest)
    cosine = (normal * other).sum(dim=1)
    sine = (torch.linalg.cross(normal, other) * axis).sum(dim=1)
    full = (nearest == position) | ((cosine == 0) & (sine == 0))
    # Where there is no angle, its slope is not defined either: a constant angle takes its place.
    angle = torch.atan2(torch.where(full, 0.0, sine), torch.where(full, 1.0, cosine))
    return torch.where(angle > 0, angle, angle + 2 * math.pi)


def _by_angle(along: Tensor, axis: Tensor, outer: Tensor) -> Tensor:
    """Sort triplets by their axis, and those of one axis by the angle of k about it."""
    # Any direction that is normal to the axis is the zero of the angles: here that of the axis and the farthest of x, y
    # and z.
    farthest = axis.abs().argmin(dim=1)
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    zero = torch.linalg.cross(axis, identity.index_select(0, farthest))
    quarter = torch.linalg.cross(axis, zero)
    angle = torch.atan2((along * quarter).sum(dim=1), (along * zero).sum(dim=1))
    order = angle.argsort()
    return order.index_select(0, outer.index_select(0, order).argsort(stable=True))
