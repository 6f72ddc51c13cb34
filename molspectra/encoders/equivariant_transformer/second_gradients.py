"""Second derivatives of the messages, which training on forces needs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from molspectra.encoders.equivariant_transformer.blocks import Block
from molspectra.encoders.equivariant_transformer.edge_messages import (
    EdgeInputs,
    edge_messages,
    gather,
    gather_inputs,
)
from molspectra.encoders.equivariant_transformer.gradients import basis_rows
from molspectra.encoders.equivariant_transformer.inputs import Inputs


def add_second_gradients(
    inputs: Inputs,
    block: Block,
    grad_sums: Sequence[Tensor],
    tangents: Sequence[Tensor | None],
    of_inputs: Inputs,
    of_grad_sums: Sequence[Tensor],
    num_heads: int,
    damp_attention: bool,
) -> None:
    """Add the derivative of `add_gradients` along `tangents`, by autograd on the plain operations of a block.

    Args:
        inputs: Tensors that the messages are computed from.
        block: Edges.
        grad_sums: Gradients of the sums X and V.
        tangents: Tensors that multiply the gradients of `inputs`, in order. None for 0.
        of_inputs: Derivatives by `inputs`, added to in place.
        of_grad_sums: Derivatives by `grad_sums`, added to in place.
        num_heads: Number of heads.
        damp_attention: See `pair_messages`.
    """
    target, source = block.target.flatten(), block.source.flatten()
    with torch.enable_grad():
        # Leaves of a small graph of this block alone, which is freed with the block.
        edges = EdgeInputs(*(tensor.detach().requires_grad_() for tensor in gather_inputs(inputs, block)))
        upstream = [gather(grad, block.target).detach().requires_grad_() for grad in grad_sums]
        at_edges = _tangents_at_edges(block, tangents)
        varied = [(edge, tangent) for edge, tangent in zip(edges, at_edges, strict=True) if tangent is not None]
        if not varied:
            return
        # The derivative of Σ tangent · grad: a vector-Jacobian product of the gradients, without their Jacobian.
        messages = edge_messages(edges, num_heads, damp_attention)
        grads = torch.autograd.grad(messages, [edge for edge, _ in varied], upstream, create_graph=True)
        along = [tangent.to(grad.dtype) for grad, (_, tangent) in zip(grads, varied, strict=True)]
        seconds = torch.autograd.grad(grads, [*upstream, *edges], along, materialize_grads=True)
    of_upstream, of_edges = seconds[:2], EdgeInputs(*seconds[2:])
    # Edges have read rows of atoms. Their derivatives are summed there.
    at_ends = (
        (of_grad_sums[0], target, of_upstream[0]),
        (of_grad_sums[1], target, of_upstream[1]),
        (of_inputs.query, target, of_edges.query),
        (of_inputs.key_value, source, of_edges.key_value),
        (of_inputs.vec_value, source, of_edges.vec_value),
    )
    for total, atoms, added in at_ends:
        total.index_add_(0, atoms, added.flatten(0, 1).to(total.dtype))
    of_inputs.filter_weight.add_(of_edges.filter_weight)
    of_inputs.filter_bias.add_(of_edges.filter_bias)
    basis_rows(of_inputs, block).add_(of_edges.basis)
    if block.rows is not None:
        # u_ji = -u_ij, hence the difference.
        there, back = of_edges.direction
        of_inputs.direction[block.rows] += there - back
        of_inputs.envelope[block.rows] += of_edges.envelope


def _tangents_at_edges(block: Block, tangents: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Gather tangents of `Inputs` as `EdgeInputs` are. None for tensors without tangent, or not read by the block."""
    query, key_value, vec_value, filter_weight, filter_bias, _, direction, basis, envelope, self_basis = tangents
    if block.rows is None:
        direction, basis, envelope = None, self_basis, None
    else:
        pairs = (direction, basis, envelope)
        direction, basis, envelope = (None if tangent is None else tangent[block.rows] for tangent in pairs)
    ends = ((query, block.target), (key_value, block.source), (vec_value, block.source))
    gathered = [None if tangent is None else gather(tangent, atoms) for tangent, atoms in ends]
    both_ways = None if direction is None else torch.stack([direction, -direction])
    return [*gathered, filter_weight, filter_bias, both_ways, basis, envelope]
