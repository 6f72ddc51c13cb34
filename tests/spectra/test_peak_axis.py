"""Axes of peaks, and what is refused as peaks on them."""

import json
import math

import numpy as np
import pytest
import torch

import molspectra as ms
from molspectra._validation import check_peaks, check_precursor
from molspectra.data import PeakAxis
from molspectra.pretrained.configuration import build, describe
from molspectra.spectra.prepared_peaks import prepare_peaks, strongest_peaks

NAN = math.nan
MASS = PeakAxis("ms_ms", "m/z", (0, 1000), precursor="precursor_mz")
HSQC = PeakAxis("hsqc", "ppm", [(-20, 240), (-2, 14)])
PROTON = PeakAxis("h_nmr", "ppm", (-2, 14), labels=["s", "d", "t"])


def test_an_axis_knows_its_columns_and_units():
    assert (MASS.num_positions, MASS.num_columns, MASS.units) == (1, 2, ("m/z",))
    assert (HSQC.num_positions, HSQC.num_columns, HSQC.units) == (2, 3, ("ppm", "ppm"))
    assert PROTON.num_columns == 3


def test_masses_are_resolved_to_half_a_part_per_million_by_default():
    assert MASS.resolutions == (0.0005,)
    assert HSQC.resolutions == (260 / 4096, 16 / 4096)


@pytest.mark.parametrize("axis", [MASS, HSQC, PROTON, PeakAxis("ir", "cm^-1", np.array([0.0, 4000.0]), max_peaks=9)])
def test_an_axis_is_saved_and_equal_afterwards(axis):
    assert build(json.loads(json.dumps(describe(axis, "axis"))), {}) == axis
    assert hash(axis) == hash(build(describe(axis, "axis"), {}))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("m/z", (-1, 1000)), ValueError, "must not be negative in m/z; got -1 to 1000"),
        (("ppm", (10, 0)), ValueError, "must be finite and ascend; got 10 to 0"),
        (("ppm", (0, math.inf)), ValueError, "must be finite and ascend"),
        (("ppm", 10), TypeError, r"must be \(low, high\), or a list of such pairs"),
        (("ppm", [(0, 1, 2)]), TypeError, "such pairs"),
        (("ppm", "ab"), TypeError, "such pairs"),
        ((["ppm", "ppm"], (0, 10)), ValueError, "unit of 'kind' must have as many values as ranges, 1; got 2"),
        (("ppm", (0, 10), 0.0), ValueError, "resolution of 'kind' must be positive and less than the range"),
        (("ppm", (0, 10), 10.0), ValueError, "less than the range 0 to 10 ppm; got 10"),
        (("ppm", (0, 10), None, 0), ValueError, "max_peaks of 'kind' must be at least 1, or None; got 0"),
        (("ppm", (0, 10), None, 5, "cut"), ValueError, 'must be "raise" or "strongest"'),
        (
            ("ppm", (0, 10), None, None, "raise", "sd"),
            TypeError,
            "labels of PeakAxis must be a list; got 'sd'",
        ),
        (("ppm", (0, 10), None, None, "raise", ["s", "s"]), ValueError, "different names"),
        (("ppm", (0, 10), None, None, "raise", (), "mz"), ValueError, "precursor of 'kind' needs one position in m/z"),
    ],
)
def test_broken_axes_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        PeakAxis("kind", *arguments)


@pytest.mark.parametrize(
    ("axis", "peaks", "message"),
    [
        (MASS, [[[-5.0, 1.0]]], "a peak at -5 m/z, beyond the range 0 to 1000 m/z. A mass-to-charge ratio is positive"),
        (MASS, [[[10.0, 1.0], [1500.0, 1.0]]], "row 0 has a peak at 1500 m/z, beyond the range"),
        (HSQC, [[[20.0, 15.0, 1.0]]], "a peak at 15 ppm, beyond the range -2 to 14 ppm. Widen ranges"),
        (MASS, [[[10.0, NAN]]], "expected finite numbers, or NaN in all of them for padding"),
        (MASS, [[[NAN, 1.0]]], "Set intensities that are not known to 1"),
        (MASS, [[[10.0, math.inf]]], "expected finite numbers"),
        (MASS, [[10.0, 1.0]], r"must have shape \(B, K, 2\).*unsqueeze\(0\)"),
        (MASS, [[0.0] * 500], r"got \(1, 500\). A spectrum on a grid needs a SpectrumAxis"),
        (HSQC, [[[20.0, 1.0]]], r"must have shape \(B, K, 3\): 2 positions and the intensity"),
        (PROTON, [[[7.0, 1.0, 3.0]]], r"a peak of the class 3; expected 0 to 2 for \['s', 'd', 't'\]"),
        (PROTON, [[[7.0, 1.0, 0.5]]], "of the class 0.5"),
        (PeakAxis("c", "ppm", (0, 9), max_peaks=1), [[[1.0, 1.0], [2.0, 1.0]]], "has 2 peaks; max_peaks .* is 1"),
    ],
)
def test_broken_peaks_are_refused(axis, peaks, message):
    with pytest.raises(ValueError, match=message):
        check_peaks(axis.name, torch.tensor(peaks), axis)


def test_peaks_in_half_precision_are_refused():
    with pytest.raises(TypeError, match="half precision rounds positions"):
        check_peaks("ms_ms", torch.zeros(1, 1, 2, dtype=torch.bfloat16), MASS)


@pytest.mark.parametrize("value", [0.0, -3.0, math.inf])
def test_precursors_are_positive(value):
    with pytest.raises(ValueError, match="must be positive and finite, or NaN"):
        check_precursor("precursor_mz", torch.tensor([[1.0], [value]]))


def test_padding_within_the_number_allowed_is_no_excess():
    axis = PeakAxis("c", "ppm", (0, 9), max_peaks=1)
    prepared = prepare_peaks("c", torch.tensor([[[NAN, NAN], [2.0, 1.0]]]), axis, ms.data.IdentityScaling())
    assert prepared.present.tolist() == [[False, True]]


def test_the_strongest_peaks_are_kept_whatever_their_order():
    peaks = torch.tensor([[5.0, 1.0], [1.0, 3.0], [2.0, -3.0], [3.0, 0.5], [NAN, NAN]])
    for _ in range(5):
        shuffled = peaks[torch.randperm(5)]
        assert strongest_peaks(shuffled[None], 1, 3).tolist() == [[[1.0, 3.0], [2.0, -3.0], [5.0, 1.0]]]


def test_classes_that_are_not_known_are_0_and_others_count_from_1():
    peaks = torch.tensor([[[7.0, 2.0, NAN], [1.0, 4.0, 0.0], [2.0, 1.0, 2.0], [NAN] * 3]])
    prepared = prepare_peaks("h_nmr", peaks, PROTON, ms.data.PerSpectrumScaling("max"))
    assert prepared.peaks.tolist() == [[[7.0, 0.5, 0.0], [1.0, 1.0, 1.0], [2.0, 0.25, 3.0], [0.0, 0.0, 0.0]]]
    assert prepared.present.tolist() == [[True, True, True, False]]
    without = prepare_peaks("h_nmr", peaks[..., :2], PROTON, ms.data.PerSpectrumScaling("max"))
    assert torch.equal(without.peaks[..., 2], torch.zeros(1, 4))


@pytest.mark.parametrize("scaling", [ms.data.PerSpectrumScaling("area"), ms.data.Log10Scaling()])
def test_gradients_of_intensities_are_finite_beside_padding(scaling):
    peaks = torch.tensor([[[7.0, 2.0], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]]], requires_grad=True)
    prepare_peaks("c", peaks, PeakAxis("c", "ppm", (0, 9)), scaling).peaks.sum().backward()
    assert bool(peaks.grad.isfinite().all())


def test_axes_of_peaks_stand_among_those_of_grids():
    """As a data set of both has them."""
    axes = {"ir": ms.data.IR, "hsqc": HSQC, "h_nmr": PROTON}
    filled = ms.data.transforms.FillMissingSpectra(axes)(ms.data.from_smiles("C"))
    assert (filled.ir.shape, filled.hsqc.shape, filled.h_nmr.shape) == ((1, 3501), (1, 1, 3), (1, 1, 3))
    assert bool(filled.hsqc.isnan().all())
    filled.hsqc = torch.rand(1, 4, 3)
    assert ms.data.transforms.FillMissingSpectra([HSQC])(filled).hsqc is filled.hsqc
    augment = ms.spectra.augment.Augment({"ir": ms.spectra.augment.Gain(2.0)}, axes)
    assert augment(filled).hsqc is filled.hsqc
