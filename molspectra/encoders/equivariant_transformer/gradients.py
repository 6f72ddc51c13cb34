"""What a block of edges adds to the first and the second derivatives of its messages."""

import torch
from torch import Tensor
from torch.nn import functional as F

from molspectra.encoders.equivariant_transformer.blocks import (
    Attention,
    Block,
    Edges,
    Operands,
    Sums,
    by_heads,
    edges_of,
    gather,
    messages,
)


def add_gradients(
    attention: Attention,
    block: Block,
    operands: Operands,
    to_sums: Sums,
    grads: Operands,
) -> None:
    """The backward of `sum_messages`, written out: add to `grads` what a block makes of the gradients of the sums.

    Args:
        attention: The constants.
        block: The edges.
        operands: What the messages are made of.
        to_sums: Gradients of the sums.
        grads: Gradients of `operands`, added to in place; those of directions and distances without rows if not wanted.
    """
    num_heads, damped_attention = attention
    channels = operands.query.shape[1]
    target, source = block.target.flatten(), block.source.flatten()
    envelope = block.envelope.unsqueeze(-1)

    # What the forward has made; the names are those of the equations.
    inner = F.linear(block.basis, operands.weight, operands.bias)
    filtering = F.silu(inner)
    key_filter, value_filter = filtering.tensor_split([channels], dim=-1)
    damped = value_filter if damped_attention else value_filter * block.envelope
    q, vec = gather(operands.query, block.target), gather(operands.moved, block.source)
    k, v = gather(operands.key_value, block.source).tensor_split([channels], dim=-1)
    filtered_k, s = k * key_filter, v * damped[:, : 2 * channels]
    scores = by_heads(q * filtered_k, num_heads).sum(dim=-1, keepdim=True)
    a = F.silu(scores)
    s0, s2 = s.chunk(2, dim=-1)

    # From the sums to attention and values.
    to_message, to_vector = gather(to_sums.scalars, block.target), gather(to_sums.vectors, block.target)
    to_a = by_heads(to_message * s0, num_heads).sum(dim=-1, keepdim=True)
    to_scores = torch.ops.aten.silu_backward(to_a * envelope if damped_attention else to_a, scores)
    to_s = torch.empty_like(s)
    to_s0, to_s2 = to_s.chunk(2, dim=-1)
    torch.mul(by_heads(to_message, num_heads), a * envelope if damped_attention else a, out=by_heads(to_s0, num_heads))
    _contract(to_vector, block.direction.unsqueeze(-1), out=to_s2)

    # From there to the ends of the edges.
    to_filtered_k = _scale_heads(q, to_scores)
    to_key_value = torch.empty((*block.target.shape, 3 * channels), dtype=s.dtype, device=s.device)
    to_k, to_v = to_key_value.tensor_split([channels], dim=-1)
    torch.mul(to_filtered_k, key_filter, out=to_k)
    torch.mul(to_s, damped[:, : 2 * channels], out=to_v)
    grads.query.index_add_(0, target, _scale_heads(filtered_k, to_scores).flatten(0, 1))
    grads.key_value.index_add_(0, source, to_key_value.flatten(0, 1))
    grads.moved.index_add_(0, source, (to_vector * damped[:, None, 2 * channels :]).flatten(0, 1))

    # And to the filters that edges share.
    geometry = len(grads.own_basis) > 0
    to_filters = torch.empty_like(inner, dtype=s.dtype)
    to_key_filter, to_damped = to_filters.tensor_split([channels], dim=-1)
    _sum_products(to_filtered_k, k, out=to_key_filter)
    _sum_products(to_s, v, out=to_damped[:, : 2 * channels])
    _sum_products(to_vector, vec, out=to_damped[:, 2 * channels :])
    if geometry and block.chosen is not None:
        there, back = (to_vector * s2.unsqueeze(-2)).sum(dim=-1)
        grads.direction[block.chosen] += there - back
        if damped_attention:
            grads.envelope[block.chosen] += (to_a * a).sum(dim=(0, 2))
        else:
            grads.envelope[block.chosen] += (to_damped * value_filter).sum(dim=-1, keepdim=True)
    if not damped_attention:
        to_damped *= block.envelope
    to_inner = torch.ops.aten.silu_backward(to_filters.to(inner.dtype), inner)
    grads.weight.add_(to_inner.mT @ block.basis)
    grads.bias.add_(to_inner.sum(dim=0))
    if geometry:
        _basis_rows(grads, block).add_(to_inner @ operands.weight)


def add_second_gradients(
    attention: Attention,
    block: Block,
    operands: Operands,
    to_sums: Sums,
    directions: tuple[Tensor | None, ...],
    of_operands: Operands,
    of_sums: Sums,
) -> None:
    """The derivative of `add_gradients` along `directions`, by autograd on the block's plain operations.

    Args:
        attention: The constants.
        block: The edges.
        operands: What the messages are made of.
        to_sums: Gradients of the sums.
        directions: For each of the gradients that `add_gradients` gives, what it is multiplied by; None for 0.
        of_operands: Gradients of `operands`, added to in place.
        of_sums: Gradients of `to_sums`, added to in place.
    """
    target, source = block.target.flatten(), block.source.flatten()
    with torch.enable_grad():
        edges = Edges(*(tensor.detach().requires_grad_() for tensor in edges_of(block, operands)))
        upstream = [gather(rows, block.target).detach().requires_grad_() for rows in to_sums]
        moving = [(edge, d) for edge, d in zip(edges, _at_edges(block, directions), strict=True) if d is not None]
        if not moving:
            return
        inputs = [edge for edge, _ in moving]
        grads = torch.autograd.grad(messages(attention, edges), inputs, upstream, create_graph=True)
        along = [d.to(grad.dtype) for grad, (_, d) in zip(grads, moving, strict=True)]
        seconds = torch.autograd.grad(grads, [*upstream, *edges], along, materialize_grads=True)
    of_upstream, of_edges = seconds[:2], Edges(*seconds[2:])
    at_ends = (
        (of_sums.scalars, target, of_upstream[0]),
        (of_sums.vectors, target, of_upstream[1]),
        (of_operands.query, target, of_edges.query),
        (of_operands.key_value, source, of_edges.key_value),
        (of_operands.moved, source, of_edges.moved),
    )
    for rows, index, added in at_ends:
        rows.index_add_(0, index, added.flatten(0, 1).to(rows.dtype))
    of_operands.weight.add_(of_edges.weight)
    of_operands.bias.add_(of_edges.bias)
    _basis_rows(of_operands, block).add_(of_edges.basis)
    if block.chosen is not None:
        there, back = of_edges.direction
        of_operands.direction[block.chosen] += there - back
        of_operands.envelope[block.chosen] += of_edges.envelope


def _at_edges(block: Block, rows: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    """Rows like those of `Operands`, as `Edges` read them; None where there are none, or where edges read no row."""
    query, key_value, moved, weight, bias, _, direction, basis, envelope, own_basis = rows
    if block.chosen is None:
        direction, basis, envelope = None, own_basis, None
    else:
        direction, basis, envelope = (None if r is None else r[block.chosen] for r in (direction, basis, envelope))
    ends = ((query, block.target), (key_value, block.source), (moved, block.source))
    gathered = [None if rows is None else gather(rows, index) for rows, index in ends]
    both_ways = None if direction is None else torch.stack([direction, -direction])
    return [*gathered, weight, bias, both_ways, basis, envelope]


def _basis_rows(operands: Operands, block: Block) -> Tensor:
    """Where what a block reads as its basis stands."""
    return operands.own_basis if block.chosen is None else operands.basis[block.chosen]


def _scale_heads(channels: Tensor, weight: Tensor) -> Tensor:
    """Channels (k, c, F), times a weight a head, (k, c, H, 1)."""
    return (by_heads(channels, weight.shape[-2]) * weight).flatten(-2)


def _sum_products(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Σ one · other over edges that share a filter, (k, c, F), and the Cartesian axis if there is one, (k, c, 3, F)."""
    if len(one) > 2:
        torch.sum(one * other, dim=(0, 2) if one.dim() == 4 else 0, out=out)
        return
    # A few terms without a tensor of the products.
    ones, others = ([x for edge in t for x in (edge.unbind(1) if t.dim() == 4 else (edge,))] for t in (one, other))
    torch.mul(ones[0], others[0], out=out)
    for factors in zip(ones[1:], others[1:], strict=True):
        out.addcmul_(*factors)


def _contract(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Σ_x one_x other_x over the Cartesian axis; without a tensor of the products, this is twice as fast."""
    torch.mul(one[..., 0, :], other[..., 0, :], out=out)
    for x in (1, 2):
        out.addcmul_(one[..., x, :], other[..., x, :])
