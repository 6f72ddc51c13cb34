"""`resample` against NumPy's interpolation and against exact integrals."""

import inspect

import numpy as np
import pytest
import scipy.integrate
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molspectra.data import IR, UV_VIS, UV_VIS_QM9S, SpectrumAxis, resample

AXIS = SpectrumAxis("ir", 10.0, 20.0, 0.5, "cm^-1")
f64 = {"dtype": torch.float64}


def irregular_grid(points: int, low: float, high: float) -> torch.Tensor:
    return (low + (high - low) * torch.rand(points, **f64)).sort().values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("descending", [False, True])
def test_equals_numpy(dtype, descending):
    grid = irregular_grid(57, 8.0, 18.0)
    spectra = torch.rand(2, 3, 57, dtype=dtype)
    expected = np.array([np.interp(AXIS.grid, grid, s, left=0, right=0) for s in spectra.reshape(6, 57).numpy()])
    if descending:
        grid, spectra = grid.flip(0), spectra.flip(-1)
    resampled = resample(spectra, grid, AXIS, "zero")
    assert resampled.dtype == dtype
    assert resampled.shape == (2, 3, AXIS.length)
    np.testing.assert_allclose(
        resampled.reshape(6, -1).numpy(), expected, rtol=1e-6 if dtype == torch.float32 else 1e-12
    )


@given(st.integers(2, 30), st.floats(0.0, 15.0), st.floats(0.5, 20.0), st.booleans())
@settings(max_examples=60, deadline=None)
def test_equals_numpy_on_any_grid(points, low, width, descending):
    grid = low + width * torch.linspace(0, 1, points, **f64) ** 2
    spectrum = torch.rand(points, **f64)
    inside = (AXIS.grid >= low) & (AXIS.grid <= low + width)
    expected = np.interp(AXIS.grid.numpy(), grid.numpy(), spectrum.numpy())
    order = slice(None, None, -1) if descending else slice(None)
    resampled = resample(torch.tensor(spectrum.numpy()[order].copy()), torch.tensor(grid.numpy()[order].copy()), AXIS)
    np.testing.assert_allclose(resampled[inside].numpy(), expected[inside.numpy()], rtol=1e-9, atol=1e-12)


def test_same_axis_changes_nothing():
    for axis in (IR, UV_VIS):
        spectrum = torch.rand(2, axis.length)
        torch.testing.assert_close(resample(spectrum, axis, axis), spectrum, rtol=1e-6, atol=1e-6)


def test_from_axis_to_axis():
    spectrum = torch.rand(3, 701, **f64)  # 1 to 15 eV, step 0.02: the 601 samples from 1.5 eV on are 25 to 626
    torch.testing.assert_close(resample(spectrum, UV_VIS_QM9S, UV_VIS), spectrum[:, 25:626])
    back = resample(resample(spectrum, UV_VIS_QM9S, UV_VIS), UV_VIS, UV_VIS_QM9S, "zero")
    torch.testing.assert_close(back[:, 25:626], spectrum[:, 25:626])
    assert back[:, :25].eq(0).all()
    assert back[:, 626:].eq(0).all()


def test_outside():
    grid = torch.tensor([12.0, 15.0])
    zero, nan = (resample(torch.ones(2), grid, AXIS, outside) for outside in ("zero", "nan"))
    inside = (AXIS.grid >= 12) & (AXIS.grid <= 15)
    assert zero.eq(inside).all()
    assert torch.equal(nan.isnan(), ~inside)
    assert torch.equal(resample(torch.ones(2), grid, AXIS).isnan(), ~inside)  # nothing is known there
    with pytest.raises(ValueError, match=r'source must cover 10 to 20 cm\^-1 \(ir\); got 12 to 15. Pass outside="nan"'):
        resample(torch.ones(2), grid, AXIS, "raise")
    assert resample(torch.ones(2), torch.tensor([10.0, 20.0]), AXIS, "raise").eq(1).all()


def test_ends_rounded_to_float32_are_inside():
    axis = SpectrumAxis("x", 0.1, 0.7, 0.1, "eV")  # 0.1 in float32 is more than 0.1, 0.7 less than 0.7
    resampled = resample(torch.ones(7), axis.grid.float(), axis, "raise")
    assert resampled.eq(1).all()


def test_missing_rows_stay_missing():
    spectra = torch.ones(2, 5)
    spectra[1] = torch.nan
    for conserve_area in (False, True):
        resampled = resample(spectra, torch.linspace(12, 14, 5), AXIS, "zero", conserve_area)
        assert resampled[0].isfinite().all()
        assert resampled[1].isnan().all()


@pytest.mark.parametrize("at", [0, 1, 25, 49, 50])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gap_costs_the_bins_that_touch_it_and_no_other(at, bad):
    fine = SpectrumAxis("ir", 10.0, 20.0, 0.2, "cm^-1")
    spectra = torch.rand(2, 51, **f64)
    whole = resample(spectra, fine, AXIS, conserve_area=True)
    spectra[0, at] = bad
    averaged = resample(spectra, fine, AXIS, conserve_area=True)
    low, high = 10 + 0.2 * (at - 1), 10 + 0.2 * (at + 1)  # the two intervals that the sample bounds
    touching = (AXIS.grid + 0.25 > low + 1e-9) & (AXIS.grid - 0.25 < high - 1e-9)
    assert torch.equal(averaged[0].isnan(), touching)
    torch.testing.assert_close(averaged[0][~touching], whole[0][~touching], rtol=1e-12, atol=1e-12)
    assert torch.equal(averaged[1], whole[1])


@pytest.mark.parametrize("descending", [False, True])
def test_interpolation_at_a_sample_beside_a_gap(descending):
    for axis in (IR, UV_VIS):
        spectrum = torch.rand(axis.length, **f64)
        spectrum[[3, 70, 71, -1]] = torch.nan
        source, values = (axis.grid.flip(0), spectrum.flip(0)) if descending else (axis, spectrum)
        torch.testing.assert_close(resample(values, source, axis), spectrum, equal_nan=True, rtol=1e-6, atol=1e-6)


def test_gradients_beside_a_gap_are_finite():
    spectrum = torch.rand(51, **f64)
    spectrum[7] = torch.nan
    spectrum.requires_grad_()
    for conserve_area in (False, True):
        resampled = resample(spectrum, SpectrumAxis("ir", 10, 20, 0.2, "cm^-1"), AXIS, "zero", conserve_area)
        (gradient,) = torch.autograd.grad(resampled[resampled.isfinite()].sum(), spectrum)
        assert gradient[torch.arange(51) != 7].isfinite().all()


def exact_integral(grid: np.ndarray, values: np.ndarray, low: float, high: float) -> float:
    """Of the piecewise linear function, zero beyond its grid, by the trapezoid rule on its own corners."""
    low, high = max(low, grid[0]), min(high, grid[-1])
    if high <= low:
        return 0.0
    corners = np.concatenate([[low], grid[(grid > low) & (grid < high)], [high]])
    return float(scipy.integrate.trapezoid(np.interp(corners, grid, values), corners))


@pytest.mark.parametrize(("points", "low", "high"), [(2000, 5.0, 25.0), (300, 9.0, 16.3), (7, 12.1, 13.4)])
def test_averages_are_exact_integrals_over_bins(points, low, high):
    grid, spectrum = irregular_grid(points, low, high), torch.rand(points, **f64)
    resampled = resample(spectrum, grid, AXIS, "zero", conserve_area=True)
    measured = resample(spectrum, grid, AXIS, conserve_area=True)
    for k, (x, value) in enumerate(zip(AXIS.grid.tolist(), resampled.tolist(), strict=True)):
        left, right = max(x - 0.25, 10.0), min(x + 0.25, 20.0)
        if grid[0] <= x <= grid[-1]:
            expected = exact_integral(grid.numpy(), spectrum.numpy(), left, right) / (right - left)
            assert value == pytest.approx(expected, abs=1e-12), k
            within = min(right, float(grid[-1])) - max(left, float(grid[0]))
            assert float(measured[k]) == pytest.approx(expected * (right - left) / within, abs=1e-12), k
        else:
            assert value == 0
            assert measured[k].isnan()


def test_conserves_the_area_of_lines_narrower_than_a_step():
    fine = SpectrumAxis("ir", 10.0, 20.0, 0.001, "cm^-1")
    line = torch.exp(-0.5 * ((fine.grid - 14.763) / 0.01) ** 2)  # between two samples of the target
    area = torch.trapezoid(line, fine.grid)
    averaged = resample(line, fine, AXIS, conserve_area=True)
    torch.testing.assert_close(torch.trapezoid(averaged, AXIS.grid), area)
    assert float(torch.trapezoid(resample(line, fine, AXIS), AXIS.grid)) < 1e-6 * float(area)


@pytest.mark.parametrize("conserve_area", [False, True])
def test_gradients(conserve_area):
    spectrum = torch.rand(2, 9, **f64, requires_grad=True)
    grid = torch.linspace(11, 18, 9, **f64)
    inside = (AXIS.grid >= 11) & (AXIS.grid <= 18)
    for outside in ("zero", "nan"):

        def resampled(values, outside=outside):
            return resample(values, grid, AXIS, outside, conserve_area)[:, inside]

        assert torch.autograd.gradcheck(resampled, spectrum)


@pytest.mark.parametrize(
    ("spectrum", "grid", "outside", "match"),
    [
        (torch.ones(3), torch.arange(3.0), "drop", 'outside must be "nan", "zero" or "raise"; got .drop.'),
        (torch.ones(1), torch.ones(1), "zero", "source must have at least two points"),
        (torch.ones(3), torch.tensor([0.0, 2.0, 1.0]), "zero", "strictly ascending or strictly descending"),
        (torch.ones(3), torch.tensor([0.0, 1.0, 1.0]), "zero", "merge samples at equal positions"),
        (torch.ones(3), torch.tensor([2.0, 1.0, float("nan")]), "zero", "strictly ascending.*finite"),
    ],
)
def test_refuses(spectrum, grid, outside, match):
    with pytest.raises(ValueError, match=match):
        resample(spectrum, grid, AXIS, outside)


def test_refuses_a_grid_of_another_length():
    # Where annotations are enforced, they refuse it first.
    with pytest.raises((ValueError, TypeError), match="source"):
        resample(torch.ones(2, 4), torch.arange(3.0), AXIS)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((torch.ones(3), torch.arange(3.0), "ir"), "target must be a SpectrumAxis; got 'ir'. Pass molspectra.data.IR"),
        ((torch.ones(3), "uv_vis", AXIS), "source must be a SpectrumAxis; got 'uv_vis'. Pass molspectra.data.UV_VIS"),
        ((torch.ones(3), np.ones(3), AXIS), "source must be a tensor; got ndarray. Convert it with torch.as_tensor"),
        ((np.ones(3), torch.arange(3.0), AXIS), "spectrum must be a tensor; got ndarray. Convert it with torch.as_t"),
    ],
)
def test_refuses_names_of_axes_and_arrays(arguments, match):
    with pytest.raises(TypeError, match=match):
        inspect.unwrap(resample)(*arguments)  # annotations, where they are enforced, refuse it first
