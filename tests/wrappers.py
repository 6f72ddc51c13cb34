"""Wrappers of modules, as optimizers, compilers and trainers put them around encoders, tasks and heads."""

import functools

import torch
from torch import nn


class Variadic(nn.Module):
    """The form of most wrappers: any argument goes on to the only child."""

    def __init__(self, module):
        super().__init__()
        self.inside = module

    def forward(self, *args, **kwargs):
        return self.inside(*args, **kwargs)


def compiled(module):
    optimized = torch.compile(module, backend="eager")
    # The checks of shapes do not compile. What the wrapper is asked for does not depend on it.
    optimized.forward = functools.partial(nn.Module.__call__, module)
    return optimized
