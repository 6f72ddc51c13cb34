"""Layers whose weights may be read, and layers that must be called."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, prune

from molspectra.layers.plain_linear import is_plain_linear


class Subclass(nn.Linear):
    pass


def with_forward(layer):
    layer.forward = lambda x: x
    return layer


def with_hook(register, hook=lambda *_: None):
    def changed(layer):
        getattr(layer, register)(hook)
        return layer

    return changed


class Weight(torch.Tensor):
    """As quantized and distributed weights are."""


def with_weight_subclass(layer):
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Weight))
    return layer


@pytest.mark.parametrize("bias", [True, False])
def test_plain_layers(bias):
    layer = nn.Linear(3, 2, bias=bias)
    assert is_plain_linear(layer)
    assert is_plain_linear(copy.deepcopy(layer).double().requires_grad_(False))


@pytest.mark.parametrize(
    "change",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        lambda layer: prune.identity(layer, "weight"),
        lambda layer: prune.identity(layer, "bias"),
        lambda layer: nn.Sequential(layer),
        lambda layer: Subclass(3, 2),
        with_forward,
        with_weight_subclass,
        *map(with_hook, ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"]),
    ],
)
def test_layers_that_are_called(change):
    assert not is_plain_linear(change(nn.Linear(3, 2)))


def test_hooks_on_all_modules():
    layer = nn.Linear(3, 2)
    handle = register_module_forward_hook(lambda *_: None)
    assert not is_plain_linear(layer)
    handle.remove()
    assert is_plain_linear(layer)
