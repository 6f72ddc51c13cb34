"""Torsions averaged over neighbors, as polynomials of the directions of the edges."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter

from molspectra.encoders.base import Edges


def mean_torsion(
    edges: Edges,
    envelope: Float[Tensor, " edges"],
    inner: Int[Tensor, " triplets"],
    outer: Int[Tensor, " triplets"],
    num_atoms: int,
) -> tuple[Float[Tensor, " triplets"], Float[Tensor, " triplets"]]:
    """Compute the means of sinᵐθ_k sinᵐθ_q cos mφ_q, m = 1 and 2, over the other neighbors q of the middle atom j.

    θ_k and θ_q are the angles of k and q with the axis j → i, and φ_q is the angle about that axis from k to q. The
    mean is Σ_q C_qj (…) / (1 + Σ_q C_qj). It is 0 without another neighbor, and q leaves it smoothly at the cutoff.

    With p the component of a direction u normal to the axis, sinθ_k sinθ_q cos φ_q = p_k·p_q, and
    sin²θ_k sin²θ_q cos 2φ_q = 2 (p_k·p_q)² - |p_k|² |p_q|². Sums over q are therefore products with the moments
    Σ_q C_qj u_q and Σ_q C_qj u_q u_qᵀ of j. Their cost is that of the triplets, and not of triplets times neighbors.

    Args:
        edges: All edges between different atoms.
        envelope: Cutoff envelope C of the edges, (E,).
        inner: Numbers of the edges k → j, (T,).
        outer: Numbers of the edges j → i, (T,).
        num_atoms: Number of atoms N.

    Returns:
        The mean for m = 1 and that for m = 2, (T,) each.
    """
    source, target = edges.index
    direction = edges.direction
    weighted = envelope.unsqueeze(1) * direction
    moments = torch.cat([envelope.unsqueeze(1), weighted, _outer(weighted, direction)], dim=1)
    moments = scatter(moments, target, dim=0, dim_size=num_atoms, reduce="sum")

    # Moments of j along u_kj, once per edge k → j, and along the axis, once per edge j → i.
    count, first, second = _split(moments.index_select(0, target))
    first_along = (first * direction).sum(dim=1)
    turned = _apply(second, direction)
    second_along = (turned * direction).sum(dim=1)
    _, first, second = _split(moments.index_select(0, source))
    axis = -direction
    first_axis = (first * axis).sum(dim=1)
    second_axis = (_apply(second, axis) * axis).sum(dim=1)

    def along(per_edge: Tensor) -> Tensor:
        return per_edge.index_select(0, inner)

    def about(per_edge: Tensor) -> Tensor:
        return per_edge.index_select(0, outer)

    cosine = (along(direction) * about(axis)).sum(dim=1)
    mixed = (along(turned) * about(axis)).sum(dim=1)
    square = along((direction * direction).sum(dim=1)) - cosine.square()  # |p_k|²
    own = along(envelope) * square
    # Σ_q p_k·p_q, Σ_q (p_k·p_q)² and Σ_q |p_q|², from which k itself is taken out. The i on the axis adds 0.
    linear = along(first_along) - cosine * about(first_axis) - own
    quadratic = along(second_along) - 2 * cosine * mixed + cosine.square() * about(second_axis)
    trace = along(count) - about(second_axis)
    others = 1 + along(count) - along(envelope) - about(envelope)
    return linear / others, (2 * quadratic - square * trace - own * square) / others


def _outer(one: Tensor, other: Tensor) -> Tensor:
    """Return the products of all components, (E, 9)."""
    return (one.unsqueeze(2) * other.unsqueeze(1)).flatten(1)


def _split(moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Σ C (E,), Σ C u (E, 3) and Σ C u uᵀ (E, 3, 3)."""
    return moments[:, 0], moments[:, 1:4], moments[:, 4:].view(moments.shape[0], 3, 3)


def _apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices * vectors.unsqueeze(1)).sum(dim=2)
