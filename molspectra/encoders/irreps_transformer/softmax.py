"""Softmax over neighbors that vanishes smoothly at the cutoff."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter


def damped_softmax(
    logits: Float[Tensor, "edges heads"],
    envelope: Float[Tensor, "edges 1"],
    target: Int[Tensor, " edges"],
    num_atoms: int,
) -> Float[Tensor, "edges heads"]:
    """Compute C e^a / Σ C e^a, where the sum runs over the edges that lead to the same atom.

    Args:
        logits: a, (E, H).
        envelope: C in [0, 1], (E, 1). At least one edge to each atom has C = 1.
        target: Atom that each edge leads to, (E,).
        num_atoms: Number of atoms N.

    Returns:
        Attention (E, H), with sum 1 over the edges to each atom.
    """
    # Any shift of the logits cancels. This one makes the largest term 1, so that no denominator vanishes. The largest
    # logit would be no such shift: it could belong to an edge at the cutoff, beside which all others underflow. An edge
    # with C = 0 does not count for the shift, so that its exponent is clamped to stay finite. All other edges have a C
    # above the rounding error of 1, and logits that exceed the shift by less than 40.
    with torch.no_grad():
        shift = scatter(logits + envelope.log(), target, dim=0, dim_size=num_atoms, reduce="max")
    weight = envelope * torch.exp((logits - shift.index_select(0, target)).clamp(max=60))
    return weight / scatter(weight, target, dim=0, dim_size=num_atoms, reduce="sum").index_select(0, target)
