"""Constants of a module that are as exact as its dtype."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class ExactConstants(nn.Module):
    """Base of modules with constants that are as exact as the dtype of the module.

    A buffer created in float32 and moved to float64 keeps the rounding of float32. These constants are cast from
    float64 again at every change of dtype. They are not part of the state.

    Args:
        make_constants: Function that returns float64 tensors by name. They become buffers of these names. It is called
            on the CPU, whatever the default device.
    """

    def __init__(self, make_constants: Callable[[], dict[str, Tensor]]) -> None:
        super().__init__()
        # On the CPU: the originals must exist even where the module is built on the meta device.
        with torch.device("cpu"):
            self._exact = make_constants()
        for name, constant in self._exact.items():
            buffer = constant.to(device=torch.get_default_device(), dtype=torch.get_default_dtype())
            self.register_buffer(name, buffer, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        module = super()._apply(fn, recurse)
        for name, constant in self._exact.items():
            # `fn` has rounded the buffer already. It is read for its device and dtype only.
            moved = getattr(self, name)
            setattr(self, name, constant.to(device=moved.device, dtype=moved.dtype))
        return module
