"""Axes: lengths, grids and errors."""

import dataclasses

import numpy as np
import pytest
import torch

from molspectra.data import IR, RAMAN, UV_VIS, UV_VIS_QM9S, SpectrumAxis


@pytest.mark.parametrize(
    ("axis", "name", "length", "unit"),
    [
        (UV_VIS, "uv_vis", 601, "eV"),
        (UV_VIS_QM9S, "uv_vis", 701, "eV"),
        (IR, "ir", 3501, "cm^-1"),
        (RAMAN, "raman", 3501, "cm^-1"),
    ],
)
def test_presets(axis, name, length, unit):
    assert (axis.name, axis.length, axis.unit) == (name, length, unit)
    grid = axis.grid
    assert grid.dtype == torch.float64
    assert float(grid[0]) == axis.start
    assert float(grid[-1]) == axis.stop
    np.testing.assert_allclose(grid.numpy(), np.linspace(axis.start, axis.stop, length), rtol=0, atol=1e-12)


def test_a_value_like_any_other():
    axis = SpectrumAxis("ir", 500, 4000, 1, "cm^-1")
    assert axis == IR
    assert hash(axis) == hash(IR)
    assert repr(axis) == repr(IR)
    with pytest.raises(dataclasses.FrozenInstanceError):
        axis.step = 2.0


def test_grid_is_a_fresh_tensor():
    IR.grid.zero_()
    assert float(IR.grid[0]) == 500.0


@pytest.mark.parametrize(
    ("start", "stop", "step", "match"),
    [
        (0.0, 1.0, 0.0, r"step of axis 'x' must be positive; got 0\.0"),
        (0.0, 1.0, -0.1, "step of axis 'x' must be positive"),
        (1.0, 1.0, 0.1, "stop of axis 'x' must be greater than start; got 1.0 to 1.0"),
        (2.0, 1.0, 0.1, "Axes ascend"),
        (0.0, 1.0, 0.3, r"step of axis 'x' must divide stop - start.*Use stop=0\.9"),
        (0.0, float("inf"), 1.0, "stop of axis 'x' must be finite"),
        (float("nan"), 1.0, 1.0, "start of axis 'x' must be finite"),
    ],
)
def test_refuses(start, stop, step, match):
    with pytest.raises(ValueError, match=match):
        SpectrumAxis("x", start, stop, step, "eV")
