"""Initial weights of linear layers."""

import math

from torch import nn


def init_linears(module: nn.Module) -> None:
    """Draw the weights of every `nn.Linear` in a module as Xavier does, uniformly, and set its bias to 0.

    TorchMD-Net initializes so, from which the published weights come.
    """
    for linear in _linears(module):
        nn.init.xavier_uniform_(linear.weight)


def init_linears_normal(module: nn.Module) -> None:
    """Draw the weights of every `nn.Linear` in a module from N(0, 1) / √in, as e3nn does, and set its bias to 0."""
    for linear in _linears(module):
        nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features))


def _linears(module: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of a module in order, with their biases set to 0."""
    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    for linear in linears:
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    return linears
