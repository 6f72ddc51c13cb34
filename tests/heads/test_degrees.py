"""Layers on features of several degrees, against e3nn, loops and published numbers."""

import math

import numpy as np
import pytest
import torch
from e3nn import o3
from e3nn.math import normalize2mom
from torch.nn import functional as F

from molspectra.heads.degrees import SIGMOID_GAIN, SILU_GAIN, DegreeNorm, Gate, LiftDegrees, leading_coupling
from molspectra.layers import DegreeLinear
from molspectra.testing import random_orthogonal, wigner


def random_features(l_max, channels=6, rows=4, dtype=torch.float64):
    return [torch.randn(rows, 2 * l + 1, channels, dtype=dtype) for l in range(l_max + 1)]


def turned(features, turn):
    return [wigner(l, turn) @ of_degree for l, of_degree in enumerate(features)]


def e3nn_layout(features):
    return torch.cat([of_degree.mT.flatten(1) for of_degree in features], dim=1)


def assert_all_close(actual, expected, tolerance=1e-12):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("determinant", [1, -1])
def test_every_layer_is_equivariant(determinant):
    turn = random_orthogonal(torch.float64, determinant)
    features = random_features(3)
    layers = [DegreeNorm(6, 3), DegreeLinear(6, 6, 3, out_scalars=24), Gate(), DegreeLinear(6, 5, 3)]
    once, moved = features, turned(features, turn)
    for layer in layers:
        once, moved = layer.double()(once), layer(moved)
        assert_all_close(moved, turned(once, turn), 1e-11)
    for given in (2, 3, 4):
        lift = LiftDegrees(6, 3).double()
        lifted = lift(features[:given])
        assert_all_close(lift(turned(features[:given], turn)), turned(lifted, turn), 1e-11)


def test_norm_by_a_loop():
    norm, features = DegreeNorm(6, 2, eps=1e-2).double(), random_features(2)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    for row in range(4):
        for l in range(3):
            values = features[l][row] - (features[0][row].mean() if l == 0 else 0)
            square = sum(x * x for x in values.flatten().tolist()) / values.numel()
            expected = values / math.sqrt(square + 1e-2) * norm.weight[l] + (norm.bias if l == 0 else 0)
            torch.testing.assert_close(norm(features)[l][row], expected)


@pytest.mark.usefixtures("float32_weights")
def test_norm_is_smooth_at_zero_and_float32_for_half_precision():
    norm = DegreeNorm(3, 1, eps=1e-1).double()
    zero = [torch.zeros(1, 1, 3).double().requires_grad_(), torch.zeros(1, 3, 3).double().requires_grad_()]
    assert torch.autograd.gradgradcheck(lambda *features: norm(features), zero)
    halves = [of_degree.bfloat16() for of_degree in random_features(1, 3)]
    assert [of_degree.dtype for of_degree in DegreeNorm(3, 1)(halves)] == [torch.float32] * 2


def test_gate_by_its_formula_with_the_gains_of_e3nn():
    assert pytest.approx(normalize2mom(F.silu).cst, rel=1e-12) == SILU_GAIN
    assert pytest.approx(normalize2mom(torch.sigmoid).cst, rel=1e-12) == SIGMOID_GAIN
    scalars, vectors, tensors = torch.randn(3, 1, 6), torch.randn(3, 3, 2), torch.randn(3, 5, 2)
    gated = Gate()([scalars, vectors, tensors])
    activated, gate_1, gate_2 = scalars[..., :2], scalars[..., 2:4], scalars[..., 4:]
    expected = [
        SILU_GAIN * activated / (1 + torch.exp(-activated)),
        SIGMOID_GAIN * vectors / (1 + torch.exp(-gate_1)),
        SIGMOID_GAIN * tensors / (1 + torch.exp(-gate_2)),
    ]
    assert_all_close(gated, expected, 1e-6)


@pytest.mark.parametrize("l", range(2, 12))
def test_coupling_is_e3nns_up_to_sign(l):
    coupling = leading_coupling(l).unflatten(1, (2 * l - 1, 3))
    expected = math.sqrt(2 * l + 1) * o3.wigner_3j(l - 1, 1, l, dtype=torch.float64).permute(2, 0, 1)
    sign = (coupling * expected).sum().sign()
    assert sign == 1 or l > 2
    torch.testing.assert_close(coupling, sign * expected, atol=1e-6, rtol=0)
    rows = coupling.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(2 * l + 1, dtype=torch.float64))


def test_the_published_second_degree(reference):
    published = {
        key: torch.from_numpy(array) for key, array in np.load(reference / "empp" / "scalar_vector_l2.npz").items()
    }
    vectors = published["vec"]
    lift = LiftDegrees(vectors.shape[2], 2).double()
    lift.left[0].weight.data, lift.right[0].weight.data = published["A"].T, published["B"].T
    scalars = torch.zeros_like(vectors[:, :1])
    made = lift([scalars, vectors])[2]
    torch.testing.assert_close(made.mT, published["l2"], atol=1e-9, rtol=1e-9)
    moved = lift([scalars, published["R"] @ vectors])[2]
    torch.testing.assert_close(moved.mT, published["l2_rotated"], atol=1e-9, rtol=1e-9)


def test_existing_degrees_stay_and_their_weights_get_a_gradient():
    features = random_features(3)
    for given in (2, 3, 4):
        for l_max in (1, 2, 3):
            lift = LiftDegrees(6, l_max).double()
            lifted = lift(features[:given])
            assert len(lifted) == l_max + 1
            assert_all_close(lifted[:given], features[: min(given, l_max + 1)])
            sum(of_degree.square().sum() for of_degree in lifted).backward() if l_max > 1 else None
            for l in range(2, l_max + 1):
                for part in (lift.left[l - 2], lift.right[l - 2]):
                    assert bool(part.weight.grad.abs().sum() > 0) == (l >= given)


def test_scalars_alone_are_refused():
    with pytest.raises(ValueError, match=r"atom vectors .* Coord, Frad, SliDe or EMGP"):
        LiftDegrees(6, 2)(random_features(0))
    with pytest.raises(ValueError, match="l_max must be at least 1"):
        LiftDegrees(6, 0)


def test_coupling_stays_exact_when_the_module_is_cast():
    lift = LiftDegrees(2, 3).half().double()
    torch.testing.assert_close(lift.coupling_3, leading_coupling(3), atol=0, rtol=0)
    assert not [name for name in lift.state_dict() if "coupling" in name]
