"""What autocast may have halved, and sums and losses must not be."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it is in half precision, else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
