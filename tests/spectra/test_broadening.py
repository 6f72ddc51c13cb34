"""`broaden` against analytic line shapes, SciPy, and the spectra stored in MiniSpectra."""

import inspect
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molspectra.data import IR, MiniSpectra, SpectrumAxis, broaden
from molspectra.spectra import broadening

AXIS = SpectrumAxis("x", 0.0, 100.0, 0.25, "eV")
STORED = {"uv_vis": ("gaussian", 0.35), "ir": ("lorentzian", 16.0), "raman": ("lorentzian", 16.0)}
SCIPY = {
    "gaussian": lambda fwhm: scipy.stats.norm(scale=fwhm / 2.3548200450309493),
    "lorentzian": lambda fwhm: scipy.stats.cauchy(scale=fwhm / 2),
}
f64 = {"dtype": torch.float64}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_equals_scipy_densities(shape, dtype):
    positions, intensities = torch.tensor([3.1, 50.0, 140.0], dtype=dtype), torch.tensor([1.0, 2.5, 7.0], dtype=dtype)
    spectrum = broaden(positions, intensities, AXIS, 4.0, shape)
    assert spectrum.shape == (1, AXIS.length)
    assert spectrum.dtype == dtype
    line = SCIPY[shape](4.0)
    expected = sum(
        i * line.pdf(AXIS.grid.numpy() - x) for x, i in zip(positions.numpy(), intensities.numpy(), strict=True)
    )
    np.testing.assert_allclose(
        spectrum[0].numpy(), expected, rtol=1e-4 if dtype == torch.float32 else 1e-12, atol=1e-30
    )


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_half_maximum_is_where_it_is_said_to_be(shape):
    spectrum = broaden(torch.tensor([50.0], **f64), torch.ones(1, **f64), AXIS, 4.0, shape)[0]
    at = {float(x): float(s) for x, s in zip(AXIS.grid, spectrum, strict=True)}
    assert at[48.0] == pytest.approx(at[50.0] / 2)
    assert at[52.0] == pytest.approx(at[50.0] / 2)
    peak = math.sqrt(4 * math.log(2) / math.pi) / 4.0 if shape == "gaussian" else 2 / (math.pi * 4.0)
    assert at[50.0] == pytest.approx(peak)


@given(st.lists(st.tuples(st.floats(30.0, 70.0), st.floats(-5.0, 5.0)), max_size=6), st.floats(1.0, 5.0))
@settings(max_examples=30, deadline=None)
def test_area_is_the_sum_of_intensities(lines, fwhm):
    positions = torch.tensor([x for x, _ in lines], **f64)
    intensities = torch.tensor([i for _, i in lines], **f64)
    area = torch.trapezoid(broaden(positions, intensities, AXIS, fwhm), AXIS.grid)
    assert float(area) == pytest.approx(float(intensities.sum()), abs=1e-8)
    # The part of a Lorentzian that lies in its tails follows from its distribution function.
    tails = sum(
        i * (scipy.stats.cauchy.cdf(100, x, fwhm / 2) - scipy.stats.cauchy.cdf(0, x, fwhm / 2)) for x, i in lines
    )
    area = torch.trapezoid(broaden(positions, intensities, AXIS, fwhm, "lorentzian"), AXIS.grid)
    assert float(area) == pytest.approx(float(tails), abs=1e-2 * float(intensities.abs().sum()) + 1e-8)


@pytest.mark.parametrize("kind", ["uv_vis", "ir", "raman"])
def test_remakes_the_stored_spectra_from_their_lines(kind):
    dataset = MiniSpectra("all")[::9]
    sticks = [dataset.sticks(i, kind) for i in range(len(dataset))]
    index = torch.arange(len(dataset)).repeat_interleave(torch.tensor([len(positions) for positions, _ in sticks]))
    shape, fwhm = STORED[kind]
    positions, intensities = (torch.cat(values) for values in zip(*sticks, strict=True))
    axis = dataset.axes[kind]
    spectra = broaden(positions, intensities, axis, fwhm, shape, index, num_spectra=len(dataset))
    stored = torch.cat([data[kind] for data in dataset])
    # Stored in float16: 11 significant bits, subnormal below 6e-5.
    torch.testing.assert_close(spectra, stored, rtol=2**-11 + 1e-5, atol=1e-7)


def test_index_groups_lines_in_any_order():
    positions, intensities = 100 * torch.rand(40, **f64), torch.rand(40, **f64)
    index = torch.randint(0, 5, (40,))
    index[index == 3] = 0  # a spectrum without lines
    together = broaden(positions, intensities, AXIS, 3.0, "lorentzian", index, num_spectra=6)
    for spectrum in range(6):
        mine = index == spectrum
        alone = broaden(positions[mine], intensities[mine], AXIS, 3.0, "lorentzian")
        torch.testing.assert_close(together[spectrum : spectrum + 1], alone)
    assert together[3].eq(0).all()
    assert together[5].eq(0).all()
    torch.testing.assert_close(
        broaden(positions, intensities, AXIS, 3.0, "lorentzian", index), together[: index.max() + 1]
    )


def test_no_lines():
    none = torch.empty(0)
    assert broaden(none, none, AXIS, 1.0).eq(0).all()
    assert broaden(none, none, AXIS, 1.0, index=none.long()).shape == (0, AXIS.length)
    assert broaden(none, none, AXIS, 1.0, index=none.long(), num_spectra=3).eq(0).all()


@pytest.mark.parametrize("at_once", [1 << 22, 100])
@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_gradients(shape, at_once, monkeypatch):
    monkeypatch.setattr(broadening, "_VALUES_AT_ONCE", at_once)
    axis = SpectrumAxis("x", 0.0, 9.0, 0.3, "eV")  # 31 samples, so that 100 makes blocks of 14 with seven lines
    positions = (9 * torch.rand(7, **f64)).requires_grad_()
    intensities = torch.rand(7, **f64).requires_grad_()
    index = torch.tensor([0, 1, 1, 0, 2, 2, 2])
    assert torch.autograd.gradcheck(lambda x, i: broaden(x, i, axis, 1.0, shape, index), (positions, intensities))
    assert torch.autograd.gradgradcheck(lambda x, i: broaden(x, i, axis, 1.0, shape, index), (positions, intensities))


def test_autograd_keeps_no_line_shapes(monkeypatch):
    monkeypatch.setattr(broadening, "_VALUES_AT_ONCE", 1000)
    positions, intensities = (100 * torch.rand(50)).requires_grad_(), torch.rand(50)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        broaden(positions, intensities, AXIS, 2.0)
    assert sum(kept) < 50 * AXIS.length / 4


def test_blocks_change_nothing(monkeypatch):
    positions, intensities, index = 100 * torch.rand(50), torch.rand(50), torch.randint(0, 4, (50,))
    whole = broaden(positions, intensities, AXIS, 2.0, index=index, num_spectra=4)
    monkeypatch.setattr(broadening, "_VALUES_AT_ONCE", 1000)
    torch.testing.assert_close(broaden(positions, intensities, AXIS, 2.0, index=index, num_spectra=4), whole)


def test_tails_of_lines_beyond_the_axis_count():
    spectrum = broaden(torch.tensor([490.0]), torch.tensor([1.0]), IR, 16, "lorentzian")
    assert float(spectrum[0, 0]) == pytest.approx(8 / math.pi / (100 + 64))


LINES = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"shape": "voigt"}, 'shape must be "gaussian" or "lorentzian"; got .voigt.'),
        ({"fwhm": 0.0}, r"fwhm must be positive and finite \(eV\); got 0.0"),
        ({"fwhm": float("inf")}, "fwhm must be positive and finite"),
        ({"positions": torch.tensor([1.0, float("nan")])}, "positions must be finite; line 1 is not. Drop it"),
        ({"intensities": torch.tensor([float("inf"), 1.0])}, "intensities must be finite; line 0"),
        ({"num_spectra": 2}, "index must say which of the num_spectra=2 spectra"),
        ({"index": torch.tensor([0, 2]), "num_spectra": 2}, "index must lie in 0..num_spectra - 1 = 1; got 0 to 2"),
        ({"index": torch.tensor([-1, 0])}, "index must lie in 0.*got -1 to 0"),
        ({"index": torch.tensor([0, 1], dtype=torch.int32)}, "index must be an int64 tensor of shape"),
    ],
)
def test_refuses(arguments, match):
    arguments = {"positions": LINES, "intensities": LINES, "axis": AXIS, "fwhm": 1.0} | arguments
    with pytest.raises(ValueError, match=match):
        broaden(**arguments)


def test_refuses_half_precision():
    with pytest.raises(TypeError, match=r"positions must be float32 or float64; got torch.bfloat16. Convert with"):
        broaden(LINES.bfloat16(), LINES, AXIS, 1.0)


def test_warns_of_lines_narrower_than_a_step():
    axis = SpectrumAxis("ms", 0, 50, 1, "m/z")
    with pytest.warns(UserWarning, match="fwhm must be at least the step of the axis.* got 0.5 for a step of 1 m/z"):
        narrow = broaden(torch.tensor([20.0]), torch.tensor([100.0]), axis, fwhm=0.5)
    assert float(narrow.max()) == pytest.approx(187.9, abs=0.1)  # a sample of the line, more than its area
    assert float(broaden(torch.tensor([20.0]), torch.tensor([100.0]), axis, fwhm=2.0).sum()) == pytest.approx(
        100, rel=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"axis": "ir"}, r"axis must be a SpectrumAxis; got 'ir'. Pass molspectra.data.IR, or"),
        (
            {"positions": np.ones(2)},
            r"positions must be a tensor; got ndarray. Convert it with torch.as_tensor\(positions\)",
        ),
    ],
)
def test_refuses_names_of_axes_and_arrays(arguments, match):
    arguments = {"positions": LINES, "intensities": LINES, "axis": AXIS, "fwhm": 1.0} | arguments
    with pytest.raises(TypeError, match=match):
        inspect.unwrap(broaden)(**arguments)  # annotations, where they are enforced, refuse it first
