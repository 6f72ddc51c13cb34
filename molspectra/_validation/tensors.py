"""Checks of shapes and dtypes of tensors that belong together."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data


def check_dtype(name: str, tensor: Tensor, weight: Tensor) -> None:
    """Check that an input has the floating-point type of the weights, unless autocast converts it.

    Raises:
        TypeError: the dtypes differ.
    """
    if tensor.dtype != weight.dtype and not torch.is_autocast_enabled(tensor.device.type):
        raise TypeError(
            f"{name} must be {weight.dtype}, as the weights are; got {tensor.dtype}. Convert the input "
            f"({name}.to({weight.dtype})) or the module (module.to({tensor.dtype})). For half precision keep both in "
            "float32, under torch.autocast."
        )


def check_same_shape(predicted: Tensor, target: Tensor) -> None:
    """Check that a prediction and its target are tensors, and not broadcast against each other.

    Raises:
        TypeError: one of them is no tensor.
        ValueError: their shapes differ.
    """
    check_tensor("predicted", predicted)
    check_tensor("target", target)
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


def check_tensor(name: str, value: object, remedy: str = "") -> None:
    """Refuse what is not a tensor, such as an array, a list or a batch of molecules.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, Tensor):
        if isinstance(value, np.ndarray | np.generic | list | tuple | int | float):
            remedy = f"Convert it with torch.as_tensor({name})."
        elif isinstance(value, Data):
            remedy = remedy or "Pass a tensor of its fields, such as batch.pos."
        got = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be a tensor; got {got}. {remedy or 'Check the order of the arguments.'}")


def check_tensors(**tensors: object) -> None:
    """Refuse what is not a tensor, each given by its name.

    Raises:
        TypeError: one is something else.
    """
    for name, value in tensors.items():
        check_tensor(name, value)


def check_tensors_by_kind(name: str, value: object) -> None:
    """Refuse what is no dict of tensors, such as patches or masks by the kind of spectrum.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be a dict from kinds of spectrum to tensors; got a {type(value).__name__}. Name the kind, as "
            f'in {{"ir": {name}}}.'
        )
    for kind, tensor in value.items():
        check_tensor(f"{name}[{kind!r}]", tensor)


def check_generator(generator: object) -> None:
    """Refuse a seed, or something else, in the place of a source of randomness.

    Raises:
        TypeError: it is neither a `torch.Generator` nor None.
    """
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator or None; got {generator!r:.80}. Make one of a seed with "
            "torch.Generator(device).manual_seed(0)."
        )
