"""Derivatives of the messages of all edges at once, in operations that autograd and `torch.func` know."""

from collections.abc import Sequence

import torch
from torch import Tensor

from molspectra.encoders.equivariant_transformer.edge_messages import plain_messages
from molspectra.encoders.equivariant_transformer.inputs import Inputs


def plain_gradients(
    inputs: Inputs, grad_sums: Sequence[Tensor], needed: Sequence[bool], num_heads: int, damp_attention: bool
) -> list[Tensor | None]:
    """Return the gradients of the inputs, differentiable if gradients are enabled.

    Args:
        inputs: Tensors that the messages are computed from.
        grad_sums: Gradients of the sums X and V.
        needed: True for each tensor of `inputs` whose gradient is returned.
        num_heads: Number of heads.
        damp_attention: See `pair_messages`.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = Inputs(*_aliases(inputs, needed))
        sums = plain_messages(inputs, num_heads, damp_attention)
        wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if need]
        grads = torch.autograd.grad(sums, wanted, grad_sums, create_graph=differentiable, allow_unused=True)
    return _in_place_of(needed, grads)


def plain_second_gradients(
    inputs: Inputs,
    grad_sums: Sequence[Tensor],
    tangents: Sequence[Tensor | None],
    needed: Sequence[bool],
    num_heads: int,
    damp_attention: bool,
) -> list[Tensor | None]:
    """Return the derivatives of the gradients along tangents, differentiable if gradients are enabled.

    Args:
        inputs: Tensors that the messages are computed from.
        grad_sums: Gradients of the sums X and V.
        tangents: Tensors that multiply the gradients of `inputs`, in order. None for 0.
        needed: True for each tensor of `grad_sums` and `inputs` whose derivative is returned.
        num_heads: Number of heads.
        damp_attention: See `pair_messages`.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        varies = [tangent is not None for tangent in tangents]
        asked = (*needed[:2], *(need or vary for need, vary in zip(needed[2:], varies, strict=True)))
        tensors = _aliases((*grad_sums, *inputs), asked)
        grad_sums, inputs = tensors[:2], Inputs(*tensors[2:])
        varied = [tensor for tensor, vary in zip(inputs, varies, strict=True) if vary]
        sums = plain_messages(inputs, num_heads, damp_attention)
        grads = torch.autograd.grad(sums, varied, grad_sums, create_graph=True)
        wanted = [tensor for tensor, need in zip(tensors, needed, strict=True) if need]
        along = [tangent for tangent in tangents if tangent is not None]
        seconds = torch.autograd.grad(grads, wanted, along, create_graph=differentiable, allow_unused=True)
    return _in_place_of(needed, seconds)


def _aliases(tensors: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor]:
    """Return aliases, because gradients of the sums depend on the inputs: autograd must not follow that path here."""
    aliases = [tensor.view_as(tensor) for tensor in tensors]
    return [
        alias.requires_grad_() if need and not alias.requires_grad else alias
        for alias, need in zip(aliases, needed, strict=True)
    ]


def _in_place_of(needed: Sequence[bool], grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return gradients at the places of the tensors that need one, and None at the others."""
    each = iter(grads)
    return [next(each) if need else None for need in needed]
