"""Tensors and other arrays of numbers, as matplotlib draws them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_array(name: str, values: Any) -> np.ndarray:
    """Return numbers as an array of float64, of tensors on any device, of any dtype, with or without a graph.

    Raises:
        TypeError: they are no numbers.
    """
    if isinstance(values, Tensor):
        return values.detach().to("cpu", torch.float64).numpy()
    try:
        if values is None:  # which would become a NaN
            raise TypeError
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a tensor or array of numbers; got a {type(values).__name__}.") from error
