"""First derivatives of the messages of a block."""

import torch
from torch import Tensor
from torch.nn import functional as F

from molspectra.encoders.equivariant_transformer.blocks import Block
from molspectra.encoders.equivariant_transformer.edge_messages import by_heads, gather
from molspectra.encoders.equivariant_transformer.inputs import Inputs


def add_gradients(
    inputs: Inputs,
    block: Block,
    grad_sums: tuple[Tensor, ...],
    grads: Inputs,
    num_heads: int,
    damp_attention: bool,
) -> None:
    """Add the gradients that a block of edges contributes. This is the backward of `sum_messages`, written out.

    Args:
        inputs: Tensors that the messages are computed from.
        block: Edges.
        grad_sums: Gradients of the sums X (N, F) and V (N, 3, F).
        grads: Gradients of `inputs`, added to in place. Without derivatives by positions, the gradients of directions
            and distances have no rows.
        num_heads: Number of heads.
        damp_attention: See `pair_messages`.
    """
    channels = inputs.query.shape[1]
    target, source = block.target.flatten(), block.source.flatten()
    envelope = block.envelope.unsqueeze(-1)

    # Recompute the forward, with the names of its equations.
    inner = F.linear(block.basis, inputs.filter_weight, inputs.filter_bias)
    filters = F.silu(inner)
    key_filter, value_filter = filters.tensor_split([channels], dim=-1)
    damped = value_filter if damp_attention else value_filter * block.envelope
    q, vec_value = gather(inputs.query, block.target), gather(inputs.vec_value, block.source)
    k, v = gather(inputs.key_value, block.source).tensor_split([channels], dim=-1)
    filtered_k, s = k * key_filter, v * damped[:, : 2 * channels]
    scores = by_heads(q * filtered_k, num_heads).sum(dim=-1, keepdim=True)
    a = F.silu(scores)
    s0, s2 = s.chunk(2, dim=-1)

    # From X_i = Σ a s⁰ and V_i = Σ vec ⊙ s¹ + u ⊗ s² to attention and values. Each message has the gradient of its sum.
    grad_x, grad_v = gather(grad_sums[0], block.target), gather(grad_sums[1], block.target)
    grad_a = by_heads(grad_x * s0, num_heads).sum(dim=-1, keepdim=True)
    grad_scores = torch.ops.aten.silu_backward(grad_a * envelope if damp_attention else grad_a, scores)
    grad_s = torch.empty_like(s)
    grad_s0, grad_s2 = grad_s.chunk(2, dim=-1)
    torch.mul(by_heads(grad_x, num_heads), a * envelope if damp_attention else a, out=by_heads(grad_s0, num_heads))
    _contract(grad_v, block.direction.unsqueeze(-1), out=grad_s2)

    # To queries, keys and values, summed over all edges that read an atom. Keys and values share one scatter.
    grad_filtered_k = _scale_heads(q, grad_scores)
    grad_key_value = torch.empty((*block.target.shape, 3 * channels), dtype=s.dtype, device=s.device)
    grad_k, grad_values = grad_key_value.tensor_split([channels], dim=-1)
    torch.mul(grad_filtered_k, key_filter, out=grad_k)
    torch.mul(grad_s, damped[:, : 2 * channels], out=grad_values)
    grads.query.index_add_(0, target, _scale_heads(filtered_k, grad_scores).flatten(0, 1))
    grads.key_value.index_add_(0, source, grad_key_value.flatten(0, 1))
    grads.vec_value.index_add_(0, source, (grad_v * damped[:, None, 2 * channels :]).flatten(0, 1))

    # To the radial filters, summed over the edges that share one.
    grad_filters = torch.empty_like(inner, dtype=s.dtype)
    grad_key_filter, grad_damped = grad_filters.tensor_split([channels], dim=-1)
    _sum_products(grad_filtered_k, k, out=grad_key_filter)
    _sum_products(grad_s, v, out=grad_damped[:, : 2 * channels])
    _sum_products(grad_v, vec_value, out=grad_damped[:, 2 * channels :])

    # To direction and envelope. Self-loops have neither: their direction is 0 and their envelope 1 at all positions.
    geometry = len(grads.self_basis) > 0
    if geometry and block.rows is not None:
        # u_ji = -u_ij, hence the difference.
        there, back = (grad_v * s2.unsqueeze(-2)).sum(dim=-1)
        grads.direction[block.rows] += there - back
        if damp_attention:
            grads.envelope[block.rows] += (grad_a * a).sum(dim=(0, 2))
        else:
            grads.envelope[block.rows] += (grad_damped * value_filter).sum(dim=-1, keepdim=True)
    if not damp_attention:
        grad_damped *= block.envelope

    # Through SiLU(W φ + b) to its weights and to the radial basis, from which forces follow.
    grad_inner = torch.ops.aten.silu_backward(grad_filters.to(inner.dtype), inner)
    grads.filter_weight.add_(grad_inner.mT @ block.basis)
    grads.filter_bias.add_(grad_inner.sum(dim=0))
    if geometry:
        basis_rows(grads, block).add_(grad_inner @ inputs.filter_weight)


def basis_rows(inputs: Inputs, block: Block) -> Tensor:
    """Return the view of the rows that a block reads as its radial basis."""
    return inputs.self_basis if block.rows is None else inputs.basis[block.rows]


def _scale_heads(channels: Tensor, weight: Tensor) -> Tensor:
    """Multiply channels (k, c, F) by one weight per head, (k, c, H, 1)."""
    return (by_heads(channels, weight.shape[-2]) * weight).flatten(-2)


def _sum_products(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Sum one · other, (k, c, F) or (k, c, 3, F), over edges that share a filter and over the Cartesian axis."""
    if len(one) > 2:
        torch.sum(one * other, dim=(0, 2) if one.dim() == 4 else 0, out=out)
        return
    # The two directions of a pair, and three axes: a few terms, added up without a tensor of the products.
    ones, others = ([x for edge in t for x in (edge.unbind(1) if t.dim() == 4 else (edge,))] for t in (one, other))
    torch.mul(ones[0], others[0], out=out)
    for factors in zip(ones[1:], others[1:], strict=True):
        out.addcmul_(*factors)


def _contract(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Compute Σ_x one_x other_x over the Cartesian axis."""
    # Twice as fast as multiplying and summing, as no tensor of the products is created.
    torch.mul(one[..., 0, :], other[..., 0, :], out=out)
    for x in (1, 2):
        out.addcmul_(one[..., x, :], other[..., x, :])
