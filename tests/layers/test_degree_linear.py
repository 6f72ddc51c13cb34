"""Linear maps of features of several degrees, against e3nn."""

import math

import pytest
import torch
from e3nn import o3

from molspectra.layers import DegreeLinear


def e3nn_layout(features):
    return torch.cat([of_degree.mT.flatten(1) for of_degree in features], dim=1)


def test_linear_is_e3nns():
    linear = DegreeLinear(6, 5, 2).double()
    features = [torch.randn(4, 2 * l + 1, 6, dtype=torch.float64) for l in range(3)]
    reference = o3.Linear("6x0e+6x1o+6x2e", "5x0e+5x1o+5x2e", biases=False).double()
    weights = [part.weight.T.flatten() * math.sqrt(6) for part in linear.degrees]
    reference.weight.data = torch.cat(weights).detach()
    torch.testing.assert_close(e3nn_layout(linear(features)), reference(e3nn_layout(features)))


def test_initial_weights_keep_the_variance():
    linear = DegreeLinear(400, 300, 1)
    assert [part.weight.std().item() * 20 for part in linear.degrees] == pytest.approx([1, 1], abs=0.01)
    assert linear.degrees[0].bias.eq(0).all()
    assert linear.degrees[1].bias is None
