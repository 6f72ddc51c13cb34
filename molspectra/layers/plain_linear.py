"""Test for linear layers whose weights may be read instead of calling the layer."""

from torch import Tensor, nn
from torch.nn.modules import module as torch_module


def is_plain_linear(layer: nn.Module) -> bool:
    """Return True if calling a layer is nothing but x Wᵀ + b with the layer's own weight and bias.

    Some products of a weight are cheaper in another order than that of the layer: before rows are copied to edges, or
    in blocks that fit into the cache. Such a product takes the place of the call only where this function returns True.
    Adapters (LoRA), quantization, pruning, parametrizations and hooks change what a call does. A layer with any of
    them must be called.
    """
    if type(layer) is not nn.Linear or "forward" in vars(layer):
        return False
    parameters = [parameter for parameter in (layer.weight, layer.bias) if parameter is not None]
    # Quantized and distributed weights are subclasses of a tensor, which know a linear product but not their rows.
    if any(type(parameter) not in (Tensor, nn.Parameter) for parameter in parameters):
        return False
    hooks = (layer._forward_pre_hooks, layer._forward_hooks, layer._backward_pre_hooks, layer._backward_hooks)
    return not any(hooks) and not torch_module._has_any_global_hook()
