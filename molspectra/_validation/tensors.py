"""Checks of shapes and dtypes of tensors that belong together."""

import torch
from torch import Tensor


def check_dtype(name: str, tensor: Tensor, weight: Tensor) -> None:
    """Check that an input has the floating-point type of the weights, unless autocast converts it.

    Raises:
        TypeError: the dtypes differ.
    """
    if tensor.dtype != weight.dtype and not torch.is_autocast_enabled(tensor.device.type):
        raise TypeError(
            f"{name} must be {weight.dtype}, as the weights are; got {tensor.dtype}. Convert the input "
            f"({name}.to({weight.dtype})) or the module (module.to({tensor.dtype}))."
        )


def check_same_shape(predicted: Tensor, target: Tensor) -> None:
    """Check that a prediction and its target are not broadcast against each other.

    Raises:
        ValueError: their shapes differ.
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"predicted and target must have the same shape; got {tuple(predicted.shape)} and {tuple(target.shape)}."
        )


def check_context(context: Tensor, shape: tuple[int, ...]) -> None:
    """Check that a context is not broadcast over atoms or channels when it is added to the initial scalars.

    Raises:
        ValueError: it has another shape than the scalars.
    """
    if context.dim() == 2 and context.shape[0] == shape[0] and context.shape[1] != shape[1]:
        raise ValueError(
            f"context must have {shape[1]} channels, as the encoder's features have; got {context.shape[1]}. Make "
            f"EMPP, or what else computes the context, with channels={shape[1]} (encoder.out_channels)."
        )
    if context.shape != shape:
        raise ValueError(
            f"context must have shape {tuple(shape)}, one row per atom, as it is added to the initial scalars; got "
            f"{tuple(context.shape)}. Give each atom the row of its molecule with context[batch]."
        )


def check_tensor(name: str, value: object) -> None:
    """Refuse what is not a tensor, such as an array or a list.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a tensor; got {type(value).__name__}. Convert it with torch.as_tensor({name})."
        )
