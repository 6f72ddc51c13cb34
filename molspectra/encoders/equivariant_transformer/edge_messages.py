"""Messages along the edges of a block, and their sums over the neighbors of each atom."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from molspectra.encoders.equivariant_transformer.blocks import Block, all_at_once
from molspectra.encoders.equivariant_transformer.inputs import Inputs


class EdgeInputs(NamedTuple):
    """Inputs of the messages of a block, gathered at the ends of its k × c edges."""

    query: Tensor
    """Queries of the targets, (k, c, F)."""
    key_value: Tensor
    """Keys and values of the sources, (k, c, 3F)."""
    vec_value: Tensor
    """vec ⊙ v¹ of the sources, (k, c, 3, F)."""
    filter_weight: Tensor
    """(4F, K), without rows if `basis` holds W φ + b."""
    filter_bias: Tensor
    """(4F,)."""
    direction: Tensor
    """(k, c, 3)."""
    basis: Tensor
    """(c, K), or W φ + b, (c, 4F)."""
    envelope: Tensor
    """(c, 1)."""


def gather(per_atom: Tensor, atoms: Tensor) -> Tensor:
    """Return the rows (k, c, ...) of some atoms (k, c)."""
    # By index_select, whose backward is one index_add.
    return per_atom.index_select(0, atoms.flatten()).view(*atoms.shape, *per_atom.shape[1:])


def gather_inputs(inputs: Inputs, block: Block) -> EdgeInputs:
    """Return the inputs at the ends of the edges of a block."""
    return EdgeInputs(
        gather(inputs.query, block.target),
        gather(inputs.key_value, block.source),
        gather(inputs.vec_value, block.source),
        inputs.filter_weight,
        inputs.filter_bias,
        block.direction,
        block.basis,
        block.envelope,
    )


def by_heads(channels: Tensor, num_heads: int) -> Tensor:
    """Divide channels (..., F) among H heads, (..., H, F / H)."""
    # All sizes are given: one that is inferred has no value without edges. And vmap has no rule for unflatten.
    return channels.view(*channels.shape[:-1], num_heads, channels.shape[-1] // num_heads)


def edge_messages(edges: EdgeInputs, num_heads: int, damp_attention: bool) -> tuple[Tensor, Tensor]:
    """Compute the scalar messages (k, c, F) and vector messages (k, c, 3, F) along edges."""
    channels = edges.query.shape[-1]
    # One product for all radial filters, as all of them read the same basis.
    weight, bias = edges.filter_weight, edges.filter_bias
    filters = F.silu(F.linear(edges.basis, weight, bias) if len(weight) else edges.basis)
    key_filter, value_filter = filters.tensor_split([channels], dim=-1)
    key, value = edges.key_value.tensor_split([channels], dim=-1)
    # No softmax: attention may be negative, and does not depend on the other neighbors.
    attention = F.silu(by_heads(edges.query * key * key_filter, num_heads).sum(dim=-1, keepdim=True))
    # The biases of filters do not vanish at the cutoff. The envelope takes the messages to 0 there.
    if damp_attention:
        attention = attention * edges.envelope.unsqueeze(-1)
    else:
        value_filter = value_filter * edges.envelope
    value_filter, vec_filter = value_filter.tensor_split([2 * channels], dim=-1)
    s0, s2 = (value * value_filter).chunk(2, dim=-1)
    # Vectors of the source go on, and the direction of the edge makes new ones. Both are equivariant.
    vec_message = edges.vec_value * vec_filter.unsqueeze(-2)
    vec_message = torch.addcmul(vec_message, s2.unsqueeze(-2), edges.direction.unsqueeze(-1))
    return (by_heads(s0, num_heads) * attention).flatten(-2), vec_message


def sum_messages(
    inputs: Inputs, blocks: Iterable[Block], num_heads: int, damp_attention: bool
) -> tuple[Tensor, Tensor]:
    """Sum the messages of all blocks at their targets: scalars X (N, F) and vectors V (N, 3, F)."""
    # In the dtype of the vectors, which autocast leaves alone: half precision would round each partial sum.
    sums = torch.zeros_like(inputs.vec_value[:, 0]), torch.zeros_like(inputs.vec_value)
    for block in blocks:
        target = block.target.flatten()
        messages = edge_messages(gather_inputs(inputs, block), num_heads, damp_attention)
        for total, message in zip(sums, messages, strict=True):
            total.index_add_(0, target, message.flatten(0, 1).to(total.dtype))
    return sums


def plain_messages(inputs: Inputs, num_heads: int, damp_attention: bool) -> tuple[Tensor, Tensor]:
    """Sum the messages of all edges at once, in operations that autograd, `torch.func` and the compiler know."""
    scalars, vectors = torch.zeros_like(inputs.vec_value[:, 0]), torch.zeros_like(inputs.vec_value)
    for block in all_at_once(inputs):
        target = block.target.flatten()
        messages = edge_messages(gather_inputs(inputs, block), num_heads, damp_attention)
        of_scalars, of_vectors = (message.flatten(0, 1).to(vectors.dtype) for message in messages)
        # Not in place: under vmap, messages may have a dimension more than the zeros that they are added to.
        scalars, vectors = scalars.index_add(0, target, of_scalars), vectors.index_add(0, target, of_vectors)
    return scalars, vectors
