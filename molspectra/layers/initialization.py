"""Initial weights."""

from torch import nn


def init_linears(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for every `nn.Linear` in a module, as TorchMD-Net has them."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
