"""Scalings: values, round trips, gradients, compilation, and errors."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molspectra.data import IdentityScaling, Log10Scaling, LogScaling, MinMaxScaling, StandardScaling

SCALINGS = [
    Log10Scaling(),
    Log10Scaling(unit=0.02),
    LogScaling(),
    MinMaxScaling(0.0, 3.5),
    MinMaxScaling(-1.0, 2.0, eps=0.1),
    StandardScaling(1.5, 0.3),
    IdentityScaling(),
]
each_scaling = pytest.mark.parametrize("scaling", SCALINGS, ids=repr)
f64 = {"dtype": torch.float64}


@each_scaling
@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_inverse_undoes_forward(scaling, values):
    x = torch.tensor([values], **f64)
    torch.testing.assert_close(scaling.inverse(scaling(x)), x, rtol=1e-10, atol=1e-10)


@each_scaling
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_dtype_shape_and_missing_spectra(scaling, dtype):
    x = torch.rand(3, 2, 5, dtype=dtype)
    x[1, 0] = torch.nan
    y = scaling(x)
    assert y.dtype == scaling.inverse(y).dtype == dtype
    assert y.shape == x.shape
    assert torch.equal(y.isnan(), x.isnan())


@each_scaling
def test_gradients(scaling):
    x = (2 * torch.rand(7, **f64)).requires_grad_()
    assert torch.autograd.gradcheck(scaling, x)
    assert torch.autograd.gradcheck(scaling.inverse, scaling(x).detach().requires_grad_())


@pytest.mark.compile
@each_scaling
def test_compiles_to_one_graph(scaling):
    x = torch.rand(4, 9, requires_grad=True)
    y = torch.compile(copy.deepcopy(scaling), fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(y, scaling(x))
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x), torch.autograd.grad(scaling(x).sum(), x))


@each_scaling
def test_remembers_its_configuration(scaling):
    again = type(scaling)(**scaling.config)
    x = torch.rand(5)
    assert torch.equal(again(x), scaling(x))
    assert torch.equal(pickle.loads(pickle.dumps(scaling))(x), scaling(x))


def test_values():
    x = torch.tensor([0.0, 1e-12, 0.5, 99.0], **f64)
    # The first is as log10(1 + x), but for small x the logarithm's series is the better second opinion.
    expected = torch.tensor([0.0, 1e-12 / math.log(10), math.log10(1.5), 2.0], **f64)
    torch.testing.assert_close(Log10Scaling()(x), expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(Log10Scaling(unit=0.25)(x / 4), expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(LogScaling()(x), expected * math.log(10), rtol=1e-11, atol=0)
    minmax = MinMaxScaling(0.5, 4.5)(x)
    torch.testing.assert_close(minmax, (x - 0.5 + 1e-8) / (4.5 - 0.5 + 1e-8))
    torch.testing.assert_close(StandardScaling(2.0, 4.0)(x), (x - 2) / 4)
    assert IdentityScaling()(x) is x


def test_prints_its_arguments():
    assert repr(MinMaxScaling(0, 3)) == "MinMaxScaling(minimum=0, maximum=3, eps=1e-08)"
    assert repr(StandardScaling(1, 2)) == "StandardScaling(mean=1, std=2)"
    assert repr(Log10Scaling(0.5)) == "Log10Scaling(unit=0.5)"
    assert repr(LogScaling()) == "LogScaling()"


@pytest.mark.parametrize("scaling", [Log10Scaling(), LogScaling()], ids=repr)
def test_logarithms_refuse_negative_intensities(scaling):
    match = r"Intensities must not be negative.*got 2 negative values, the lowest -0.25. Correct the baseline, clamp"
    with pytest.raises(ValueError, match=match):
        scaling(torch.tensor([[1.0, -0.25], [-0.125, torch.nan]]))
    scaling(torch.tensor([-0.0]))


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: MinMaxScaling(2.0, 1.0), "maximum must not be below minimum.*got minimum=2.0, maximum=1.0"),
        (lambda: MinMaxScaling(1.0, 1.0, eps=0.0), "must be positive"),
        (lambda: MinMaxScaling(float("nan"), 1.0), "minimum must be finite; got nan. Leave missing spectra"),
        (lambda: Log10Scaling(0.0), "unit must be positive; got 0.0"),
        (lambda: Log10Scaling(float("nan")), "unit must be finite"),
        (lambda: StandardScaling(0.0, 0.0), "std must be positive; got 0.0. For constant spectra"),
        (lambda: StandardScaling(float("inf"), 1.0), "mean must be finite"),
    ],
)
def test_refuses(build, match):
    with pytest.raises(ValueError, match=match):
        build()
