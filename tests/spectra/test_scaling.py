"""Scalings: values, round trips, gradients, compilation, and errors."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molspectra.data import (
    ArcsinhScaling,
    IdentityScaling,
    Log10Scaling,
    LogScaling,
    MinMaxScaling,
    PerSpectrumScaling,
    StandardScaling,
)
from molspectra.spectra import SpecFormer

SCALINGS = [
    Log10Scaling(),
    Log10Scaling(unit=0.02),
    LogScaling(),
    ArcsinhScaling(),
    ArcsinhScaling(unit=0.02),
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


def test_arcsinh_of_a_negative_baseline():
    x = torch.tensor([-5e4, -1e-3, 0.0, 1e-3, 5e4], **f64)
    # log10 far from 0, a straight line at 0, odd, and continuous.
    expected = torch.tensor([-math.log10(5e4), -1e-3 / 2 / math.log(10), 0, 1e-3 / 2 / math.log(10), math.log10(5e4)])
    torch.testing.assert_close(ArcsinhScaling()(x), expected.double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("by", ["max", "area", "snv"])
class TestPerSpectrumScaling:
    def test_equals_numpy_on_a_negative_baseline(self, by):
        x = torch.randn(4, 3, 50, **f64) - 0.2
        y = PerSpectrumScaling(by)(x).numpy()
        values = x.numpy()
        expected = {
            "max": values / np.abs(values).max(-1, keepdims=True),
            "area": values / np.abs(values).sum(-1, keepdims=True),
            "snv": (values - values.mean(-1, keepdims=True)) / values.std(-1, keepdims=True, ddof=1),
        }[by]
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(PerSpectrumScaling(by).inverse(torch.tensor(y), x).numpy(), values, atol=1e-12)

    def test_gain_path_length_and_offset_do_not_matter(self, by):
        x = torch.rand(50, **f64)
        scaling = PerSpectrumScaling(by)
        torch.testing.assert_close(scaling(7 * x), scaling(x))
        if by == "snv":
            torch.testing.assert_close(scaling(x + 3), scaling(x))

    def test_missing_and_empty_spectra(self, by):
        x = torch.rand(3, 9, requires_grad=True)
        with torch.no_grad():
            x[1], x[2] = torch.nan, 0.0
        y = PerSpectrumScaling(by)(x)
        assert y[0].isfinite().all()
        assert y[1].isnan().all()
        assert y[2].eq(0).all()
        (gradient,) = torch.autograd.grad(y[[0, 2]].sum(), x)
        assert gradient[[0, 2]].isfinite().all()

    def test_is_kept_in_the_configuration(self, by):
        scaling = PerSpectrumScaling(by)
        assert scaling.config == {"by": by}
        assert repr(scaling) == f'PerSpectrumScaling("{by}")'

    def test_scales_the_input_of_an_encoder(self, by):
        torch.manual_seed(0)
        specformer = SpecFormer({"ir": 40}, patch_len=10, stride=10, hidden_channels=16, num_heads=2, num_layers=1)
        specformer.eval()
        x = torch.randn(2, 40)
        specformer.scalings["ir"] = PerSpectrumScaling(by)
        torch.testing.assert_close(specformer({"ir": 5 * x}).tokens, specformer({"ir": x}).tokens, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: MinMaxScaling(2.0, 1.0), "maximum must not be below minimum.*got minimum=2.0, maximum=1.0"),
        (lambda: MinMaxScaling(1.0, 1.0, eps=0.0), "must be positive"),
        (lambda: MinMaxScaling(float("nan"), 1.0), "minimum must be finite; got nan. Leave missing spectra"),
        (lambda: Log10Scaling(0.0), "unit must be positive; got 0.0"),
        (lambda: Log10Scaling(float("nan")), "unit must be finite"),
        (lambda: ArcsinhScaling(0.0), "unit must be positive; got 0.0"),
        (lambda: PerSpectrumScaling("mean"), 'by must be "max", "area" or "snv"; got .mean.'),
        (lambda: StandardScaling(0.0, 0.0), "std must be positive; got 0.0. For constant spectra"),
        (lambda: StandardScaling(float("inf"), 1.0), "mean must be finite"),
    ],
)
def test_refuses(build, match):
    with pytest.raises(ValueError, match=match):
        build()
