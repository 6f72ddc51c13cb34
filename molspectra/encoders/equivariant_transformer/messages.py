"""Messages along both directions of each pair of neighbours, the hot path of the equivariant transformer.

What the messages of a layer need is small: a row an atom, and the distances. What they are made of is not: a dozen
tensors of (edges × channels). So pairs are taken in blocks that fit into the cache, none of these tensors is kept, and
the backward, written out, makes them again. Both directions of a pair share one radial filter.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra.encoders.equivariant_transformer.blocks import (
    Attention,
    Filters,
    Neighborhood,
    Operands,
    Sums,
    in_blocks,
    in_one_block,
    sum_messages,
)
from molspectra.encoders.equivariant_transformer.gradients import add_gradients, add_second_gradients


def pair_messages(
    query: Float[Tensor, "atoms channels"],
    key_value: Float[Tensor, "atoms key_and_values"],
    moved: Float[Tensor, "atoms 3 channels"],
    filters: Filters,
    neighborhood: Neighborhood,
    num_heads: int,
    damp_attention: bool = False,
) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "atoms 3 channels"]]:
    """X_i = Σ_j a_ij s⁰_ij and V_i = Σ_j vec_j ⊙ s¹_ij + u_ij ⊗ s²_ij, over the neighbours j of i and i itself.

    With a_ij = SiLU(Σ_d q_i k_j f^k_ij), a sum over the channels of a head, and s_ij = v_j ⊙ C(r_ij) f^v_ij, where
    f = SiLU(W φ_ij + b). All derivatives exist; those of third order are taken from the plain operations. So is
    everything in a compiled graph, where the compiler does the fusing.

    Args:
        query: q, (N, F).
        key_value: k, v⁰ and v², one after the other, (N, 3F).
        moved: vec ⊙ v¹, (N, 3, F): what belongs to an atom alone is multiplied once an atom, not once an edge.
        filters: The radial filters.
        neighborhood: Pairs and distances.
        num_heads: Number of heads, which share out the channels.
        damp_attention: Multiply C into a_ij rather than into s_ij, as the released code does.

    Returns:
        X (N, F) and V (N, 3, F).
    """
    attention = Attention(num_heads, damp_attention)
    operands = Operands(query, key_value, moved, *filters, *neighborhood)
    if torch.compiler.is_compiling():
        return plain_messages(attention, operands)
    return _InBlocks.apply(attention, *operands)


def plain_messages(attention: Attention, operands: Operands) -> Sums:
    """The same of all edges at once, in operations that autograd and the compiler know."""
    return sum_messages(attention, operands, in_one_block(operands))


class _InBlocks(torch.autograd.Function):
    """The same block by block; keeps its operands and nothing else."""

    @staticmethod
    def forward(ctx: Any, attention: Attention, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        ctx.attention = attention
        ctx.save_for_backward(*tensors)
        operands = Operands(*tensors)
        return sum_messages(attention, operands, in_blocks(operands))

    @staticmethod
    def backward(ctx: Any, *to_sums: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        return None, *_Gradients.apply(ctx.attention, needed, *to_sums, *ctx.saved_tensors)


class _Gradients(torch.autograd.Function):
    """The backward of `_InBlocks`, a function in its own right: training on forces differentiates it in its turn."""

    @staticmethod
    def forward(
        ctx: Any, attention: Attention, needed: tuple[bool, ...], *tensors: Tensor
    ) -> tuple[Tensor | None, ...]:
        ctx.attention, ctx.needed = attention, needed
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        to_sums, operands = Sums(*tensors[:2]), Operands(*tensors[2:])
        # Those of the neighborhood are wanted where positions are trained on, or forces are derived.
        shaped = operands if any(needed[5:]) else (*operands[:5], *(tensor[:0] for tensor in operands[5:]))
        grads = Operands(*(torch.zeros_like(tensor, dtype=to_sums.vectors.dtype) for tensor in shaped))
        for block in in_blocks(operands):
            add_gradients(attention, block, operands, to_sums, grads)
        return tuple(g.to(t.dtype) if need else None for g, t, need in zip(grads, operands, needed, strict=True))

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors, needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        if all(direction is None for direction in directions):
            return None, None, *(None for _ in needed)
        if torch.is_grad_enabled():
            return None, None, *_plain_second_gradients(ctx.attention, tensors, directions, needed)
        to_sums, operands = Sums(*tensors[:2]), Operands(*tensors[2:])
        seconds = [torch.zeros_like(tensor, dtype=to_sums.vectors.dtype) for tensor in tensors]
        of_sums, of_operands = Sums(*seconds[:2]), Operands(*seconds[2:])
        for block in in_blocks(operands):
            add_second_gradients(ctx.attention, block, operands, to_sums, directions, of_operands, of_sums)
        return (
            None,
            None,
            *(s.to(t.dtype) if need else None for s, t, need in zip(seconds, tensors, needed, strict=True)),
        )


def _plain_second_gradients(
    attention: Attention,
    tensors: tuple[Tensor, ...],
    directions: tuple[Tensor | None, ...],
    needed: tuple[bool, ...],
) -> list[Tensor | None]:
    """The backward of `_Gradients` in operations that autograd knows, for third derivatives."""
    # Of aliases: the gradients of the sums depend on the operands, which is not to be followed here.
    tensors = tuple(tensor.view_as(tensor) for tensor in tensors)
    to_sums, operands = tensors[:2], Operands(*tensors[2:])
    moving = [(tensor, d) for tensor, d in zip(operands, directions, strict=True) if d is not None]
    sums = plain_messages(attention, operands)
    grads = torch.autograd.grad(sums, [tensor for tensor, _ in moving], to_sums, create_graph=True)
    wanted = [tensor for tensor, need in zip(tensors, needed, strict=True) if need]
    seconds = iter(torch.autograd.grad(grads, wanted, [d for _, d in moving], create_graph=True, allow_unused=True))
    return [next(seconds) if need else None for need in needed]
