"""Protection of sums and losses from half precision."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Upcast a tensor in half precision, as autocast makes them, to float32. Leave other tensors as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def leave_autocast(tensor: Tensor) -> Tensor:
    """Upcast a tensor in half precision to float32 under autocast. Leave it in the dtype of the weights elsewhere."""
    return at_least_float32(tensor) if torch.is_autocast_enabled(tensor.device.type) else tensor
