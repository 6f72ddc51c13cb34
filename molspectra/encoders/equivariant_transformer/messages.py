"""Messages along both directions of each pair of neighbors, the hot path of the equivariant transformer.

Inputs are per-atom rows and pair distances, but the intermediates are a dozen (edges × channels) tensors. Pairs are
processed in cache-sized blocks. Intermediates are recomputed in the backward pass, which is written out by hand. Both
directions of a pair share one radial filter.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._transforms import is_traced, is_transformed
from molspectra.encoders.equivariant_transformer.blocks import in_blocks
from molspectra.encoders.equivariant_transformer.edge_messages import plain_messages, sum_messages
from molspectra.encoders.equivariant_transformer.gradients import add_gradients
from molspectra.encoders.equivariant_transformer.inputs import Inputs, Neighborhood
from molspectra.encoders.equivariant_transformer.plain_gradients import plain_gradients, plain_second_gradients
from molspectra.encoders.equivariant_transformer.second_gradients import add_second_gradients

# Inputs ahead of this one are features and weights. The others are functions of the positions.
_PAIRS = Inputs._fields.index("pairs")


def pair_messages(
    query: Float[Tensor, "atoms channels"],
    key_value: Float[Tensor, "atoms key_and_values"],
    vec_value: Float[Tensor, "atoms 3 channels"],
    filter_weight: Float[Tensor, "filters num_rbf"],
    filter_bias: Float[Tensor, " filters"],
    neighborhood: Neighborhood,
    num_heads: int,
    damp_attention: bool = False,
) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "atoms 3 channels"]]:
    """Compute X_i = Σ_j a_ij s⁰_ij and V_i = Σ_j vec_j ⊙ s¹_ij + u_ij ⊗ s²_ij over the neighbors j of i and i itself.

    Attention is a_ij = SiLU(Σ_d q_i k_j f^k_ij), with a sum over the channels of a head. Values are
    s_ij = v_j ⊙ C(r_ij) f^v_ij. All filters are f = SiLU(W φ_ij + b).

    Derivatives of every order exist. Third derivatives use plain operations, as do `torch.func` and batched gradients.
    A compiled graph consists of plain operations only, which the compiler fuses. So do messages whose W φ + b is given.

    Args:
        query: q, (N, F).
        key_value: k, v⁰ and v² side by side, (N, 3F).
        vec_value: vec ⊙ v¹, (N, 3, F).
        filter_weight: W, (4F, K): F rows each for the filters of k, s⁰, s² and s¹. Without rows if the
            neighborhood holds W φ + b, (…, 4F), in place of φ.
        filter_bias: b, (4F,).
        neighborhood: Pairs of neighbors and functions of their distances.
        num_heads: Number of heads, which share out the channels.
        damp_attention: Multiply C into a_ij instead of s_ij, as the released code does.

    Returns:
        X (N, F) and V (N, 3, F).
    """
    inputs = Inputs(query, key_value, vec_value, filter_weight, filter_bias, *neighborhood)
    if filter_weight.shape[0] == 0 or is_traced() or is_transformed():
        return plain_messages(inputs, num_heads, damp_attention)
    return PairMessages.apply(num_heads, damp_attention, *inputs)


class PairMessages(torch.autograd.Function):
    """Sums of messages block by block. Autograd keeps the inputs and nothing of the size of edges × channels."""

    @staticmethod
    def forward(ctx: Any, num_heads: int, damp_attention: bool, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Sum the messages of all blocks."""
        ctx.num_heads, ctx.damp_attention = num_heads, damp_attention
        ctx.save_for_backward(*tensors)
        inputs = Inputs(*tensors)
        return sum_messages(inputs, in_blocks(inputs), num_heads, damp_attention)

    @staticmethod
    def backward(ctx: Any, *grad_sums: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs."""
        needed = ctx.needs_input_grad[2:]
        if is_transformed(*grad_sums):
            inputs = Inputs(*ctx.saved_tensors)
            return None, None, *plain_gradients(inputs, grad_sums, needed, ctx.num_heads, ctx.damp_attention)
        grads = PairMessagesGradients.apply(ctx.num_heads, ctx.damp_attention, needed, *grad_sums, *ctx.saved_tensors)
        return None, None, *grads


class PairMessagesGradients(torch.autograd.Function):
    """Gradients of `PairMessages`, a function with a backward of its own: training on forces differentiates it."""

    @staticmethod
    def forward(
        ctx: Any, num_heads: int, damp_attention: bool, needed: tuple[bool, ...], *tensors: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Recompute the messages block by block, and sum their gradients."""
        ctx.num_heads, ctx.damp_attention = num_heads, damp_attention
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        grad_sums, inputs = tensors[:2], Inputs(*tensors[2:])
        # Derivatives by directions and distances are needed for forces, and where gradients reach the positions.
        # Otherwise they get no rows, and `add_gradients` leaves them out.
        geometry = inputs[_PAIRS:] if any(needed[_PAIRS:]) else [tensor[:0] for tensor in inputs[_PAIRS:]]
        shaped = (*inputs[:_PAIRS], *geometry)
        grads = Inputs(*(torch.zeros_like(tensor, dtype=grad_sums[1].dtype) for tensor in shaped))
        for block in in_blocks(inputs):
            add_gradients(inputs, block, grad_sums, grads, num_heads, damp_attention)
        return _where_needed(grads, inputs, needed)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the derivatives, along tangents, by the gradients of the sums and by the inputs."""
        tensors, needed = ctx.saved_tensors, ctx.needs_input_grad[3:]
        grad_sums, inputs = tensors[:2], Inputs(*tensors[2:])
        if all(tangent is None for tangent in tangents):
            return None, None, None, *(None for _ in needed)
        if torch.is_grad_enabled() or is_transformed(*tangents):  # third derivatives will be taken, or many at once
            seconds = plain_second_gradients(inputs, grad_sums, tangents, needed, ctx.num_heads, ctx.damp_attention)
            return None, None, None, *seconds
        sums = [torch.zeros_like(tensor, dtype=grad_sums[1].dtype) for tensor in tensors]
        of_grad_sums, of_inputs = sums[:2], Inputs(*sums[2:])
        for block in in_blocks(inputs):
            add_second_gradients(
                inputs, block, grad_sums, tangents, of_inputs, of_grad_sums, ctx.num_heads, ctx.damp_attention
            )
        return None, None, None, *_where_needed(sums, tensors, needed)


def _where_needed(
    grads: tuple[Tensor, ...] | list[Tensor], tensors: tuple[Tensor, ...], needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients that autograd asked for, in the dtypes of their tensors, and None for the others."""
    # Gradients were summed at the precision of the vectors, whatever autocast has made of their tensors.
    return tuple(
        grad.to(tensor.dtype) if need else None for grad, tensor, need in zip(grads, tensors, needed, strict=True)
    )
