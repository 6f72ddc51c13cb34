"""Augmentations of intensities on an axis against exact lines, conserved areas and statistics of many draws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import molspectra as ms
from molspectra.spectra import augment as a
from molspectra.spectra.augment import gas_lines
from molspectra.spectra.augment.asymmetric_rotor import Constants, levels, line_strengths

IR = ms.data.IR
f64 = {"dtype": torch.float64}


def line(position, fwhm, shape="gaussian", axis=IR):
    return ms.data.broaden(torch.tensor([position], **f64), torch.ones(1, **f64), axis, fwhm, shape)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.floats(1000, 3500), st.floats(-50, 50), st.floats(10, 40))
@settings(max_examples=20, deadline=None)
def test_shift_is_that_of_the_exact_line(position, distance, fwhm):
    spectrum = line(position, fwhm)
    shifted = a.Shift(distance)(spectrum, IR)
    # Error of linear interpolation: step² / 8 of the largest second derivative, 8 ln 2 / fwhm² of the height.
    tolerance = math.log(2) / fwhm**2 * float(spectrum.max()) * 1.01
    assert (shifted - line(position + distance, fwhm)).abs().max() <= tolerance
    assert float(shifted.sum()) == pytest.approx(float(spectrum.sum()), rel=1e-9)


@given(st.floats(1200, 3500), st.floats(0.95, 1.05), st.floats(10, 40))
@settings(max_examples=20, deadline=None)
def test_scale_factor_moves_lines_in_proportion_and_keeps_their_area(position, factor, fwhm):
    spectrum = line(position, fwhm)
    scaled = a.ScaleFactor(factor)(spectrum, IR)
    tolerance = math.log(2) / fwhm**2 * float(spectrum.max()) * 1.1
    assert (scaled - line(position * factor, fwhm * factor)).abs().max() <= tolerance
    # The same error summed: step² / 8 of the integral of |s''|, which is 4 max|s'|.
    assert float(scaled.sum()) == pytest.approx(1.0, abs=0.5 * 0.242 * (2.355 / fwhm) ** 2)


@pytest.mark.parametrize("augmentation", [a.Shift(3.7), a.Shift(-250.0), a.ScaleFactor(0.97), a.ScaleFactor(1.03)])
def test_float32_equals_float64(augmentation):
    spectrum = line(2900.0, 10.0) + line(1700.0, 10.0)
    assert torch.allclose(
        augmentation(spectrum.float(), IR).double(), augmentation(spectrum, IR), atol=1e-4 * float(spectrum.max())
    )


def test_samples_from_beyond_the_axis():
    spectrum = torch.arange(3501.0)[None]
    assert (a.Shift(2.5)(spectrum, IR)[0, :3] == 0).all()
    assert a.Shift(2.5, "nan")(spectrum, IR)[0].isnan().nonzero().flatten().tolist() == [0, 1, 2]
    assert a.Shift(-2.0, "nan")(spectrum, IR)[0].isnan().nonzero().flatten().tolist() == [3499, 3500]
    assert a.Shift(0.0, "nan")(spectrum, IR).equal(spectrum)


def test_gaps_move_with_the_spectrum():
    spectrum = torch.ones(1, 3501)
    spectrum[0, 100:200] = torch.nan
    assert a.Shift(10.0)(spectrum, IR)[0].isnan().nonzero().flatten().tolist() == list(range(110, 210))
    assert a.Shift(10.5)(spectrum, IR)[0].isnan().nonzero().flatten().tolist() == list(range(110, 211))


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
@given(st.floats(1500, 3000), st.floats(8, 30), st.floats(0, 30))
@settings(max_examples=15, deadline=None)
def test_rebroadening_leads_to_the_exact_wider_line(shape, position, original, more):
    wide = a.Rebroaden(original + more, original, shape)(line(position, original, shape), IR)
    # The tails of a Lorentzian beyond the axis are mirrored: γ / πd² at a distance d ≥ 1000 cm^-1.
    tolerance = 1e-12 if shape == "gaussian" else 3 * 60 / 2 / math.pi / 1000**2
    assert (wide - line(position, original + more, shape)).abs().max() < tolerance


@pytest.mark.parametrize(
    "augmentation", [a.Rebroaden((10, 60)), a.Rebroaden((10, 60), shape="gaussian"), a.ResolutionLoss((2, 64))]
)
def test_broadening_keeps_sums_constants_and_signs(augmentation):
    spectra = torch.rand(8, 3501, **f64)
    torch.testing.assert_close(augmentation(spectra, IR).sum(1), spectra.sum(1))
    torch.testing.assert_close(augmentation(torch.ones_like(spectra), IR), torch.ones_like(spectra))
    assert (augmentation(spectra, IR) > 0).all()
    gap = torch.ones_like(spectra)
    gap[:, 1000:1200] = torch.nan
    torch.testing.assert_close(augmentation(gap, IR), gap, equal_nan=True)


def test_no_broadening_changes_nothing():
    spectra = torch.rand(3, 3501, **f64)
    for augmentation in (a.Rebroaden(16, 16), a.Rebroaden(16, 16, "gaussian"), a.ResolutionLoss(0)):
        torch.testing.assert_close(augmentation(spectra, IR), spectra)


def test_resolution_is_sinc_squared():
    spectrum = torch.zeros(1, 3501, **f64)
    spectrum[0, 1500] = 1.0
    x = (IR.grid - 2000.0) / 8.0
    torch.testing.assert_close(a.ResolutionLoss(8.0)(spectrum, IR)[0], torch.sinc(x).square() / 8, atol=1e-5, rtol=0)


@pytest.mark.parametrize("snr", [20.0, 200.0])
def test_white_noise_has_the_ratio_that_is_asked(snr):
    spectra = torch.zeros(50, 3501, **f64)
    spectra[:, 5] = 7.0
    noise = a.WhiteNoise(snr)(spectra, IR, seeded()) - spectra
    assert float(noise.std()) == pytest.approx(7.0 / snr, rel=0.01)  # 0.17 % standard error
    assert abs(float(noise.mean())) < 4 * 7.0 / snr / math.sqrt(noise.numel())
    neighbors = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
    assert abs(float(neighbors)) < 4 / math.sqrt(noise.numel())


def test_shot_noise_follows_the_counts():
    counts = torch.tensor([400.0, 10000.0], **f64).repeat(1750)
    spectra = torch.cat([counts, counts[-1:]]).expand(200, -1)
    noise = a.ShotNoise(100.0)(spectra, IR, seeded()) - spectra  # the strongest sample has 100² counts
    for value in (400.0, 10000.0):
        assert float(noise[:, counts.tolist().index(value) : -1 : 2].var()) == pytest.approx(value, rel=0.02)


def test_draws_are_uniform_in_the_range():
    drawn = a.Gain((0.5, 2.0))(torch.ones(20000, 11, **f64), ms.data.SpectrumAxis("x", 0, 10, 1, "eV"), seeded())
    logarithm = drawn[:, 0].log2()
    assert logarithm.min() >= -1
    assert logarithm.max() <= 1
    assert abs(float(logarithm.mean())) < 4 / math.sqrt(3 * 20000)
    assert float(logarithm.var()) == pytest.approx(1 / 3, rel=0.03)


def test_band_gain_has_its_spread_and_width():
    factors = a.BandGain(200.0, 0.3)(torch.ones(4000, 701, **f64), ms.data.SpectrumAxis("x", 500, 4000, 5, "cm^-1"))
    logarithm = factors.log()
    assert float(logarithm.std()) == pytest.approx(0.3, rel=0.03)
    for steps in (20, 40, 80):
        correlation = (logarithm[:, 100] * logarithm[:, 100 + steps]).mean() / 0.3**2
        assert float(correlation) == pytest.approx(math.exp(-0.5 * (5 * steps / 200) ** 2), abs=0.08)


@pytest.mark.parametrize("degree", [0, 1, 2, 5])
def test_a_baseline_is_a_polynomial_of_its_degree_and_height(degree):
    spectra = torch.rand(6, 3501, **f64)
    baseline = a.Baseline(0.2, degree)(spectra, IR) - spectra
    torch.testing.assert_close(baseline.abs().amax(1), 0.2 * spectra.amax(1))
    powers = torch.linspace(-1, 1, 3501, **f64)[:, None] ** torch.arange(degree + 1)
    fitted = powers @ torch.linalg.lstsq(powers, baseline.T).solution
    torch.testing.assert_close(fitted.T, baseline)


def test_a_residue_is_what_the_lower_hull_leaves_of_a_parabola():
    residue = a.RubberBandResidue(0.1, contacts=3)(torch.ones(1, 3501, **f64), IR, seeded())[0] - 1
    curvature = residue.diff(n=2)
    # Between contacts the curvature is one negative number, and at contacts the arcs meet in a corner.
    arcs = curvature[curvature < 0]
    torch.testing.assert_close(arcs.median().expand(arcs.shape[0] - 8), arcs.sort().values[4:-4])
    assert residue.min() >= 0
    assert int((curvature > 0).sum()) in range(3, 7)
    assert float(residue.max()) == pytest.approx(0.1)


def test_cropping_marks_samples_beyond_the_range():
    spectra = torch.ones(50, 3501)
    cropped = a.CropRange(650, 3600)(spectra, IR)
    assert cropped[0].isfinite().nonzero().flatten()[[0, -1]].tolist() == [150, 3100]
    first = a.CropRange((500, 800), 4000)(spectra, IR).isnan().sum(1)
    assert first.min() >= 0
    assert first.max() <= 300
    assert first.unique().shape[0] > 20


def test_saturation_is_the_absorbance_with_stray_light():
    absorbance = torch.linspace(0, 3, 3501, **f64)[None]
    shown = a.Saturation(3.0, 0.01)(absorbance * 5.0, IR) / 5.0  # on any scale
    torch.testing.assert_close(shown, -torch.log10((10**-absorbance + 0.01) / 1.01))
    assert shown.max() < -math.log10(0.01 / 1.01)


def test_sometimes_takes_its_share():
    some = a.Sometimes(a.Gain(2.0), 0.3)(torch.ones(5000, 3501)[:, :11], ms.data.SpectrumAxis("x", 0, 10, 1, "eV"))
    assert float((some[:, 0] == 2).float().mean()) == pytest.approx(0.3, abs=0.03)


class TestGases:
    def test_rotational_levels_of_water(self):
        """Closed forms for J = 1: A + B, A + C, B + C."""
        a_, b, c = ground = Constants(27.88, 14.52, 9.28)
        torch.testing.assert_close(levels(1, ground).energy, torch.tensor([b + c, a_ + c, a_ + b], **f64))
        torch.testing.assert_close(levels(5, Constants(3.0, 1.0, 1.0)).energy[-1], torch.tensor(30.0 + 2 * 25, **f64))

    @pytest.mark.parametrize("dipole", ["a", "b"])
    def test_line_strengths_obey_the_sum_rule_and_keep_the_spin(self, dipole):
        ground, excited = Constants(27.88, 14.52, 9.28), Constants(31.08, 14.68, 9.13)
        for j in range(6):
            total = torch.zeros(2 * j + 1, **f64)
            for j_above in range(max(0, j - 1), j + 2):
                strengths = line_strengths(j, levels(j, ground), j_above, levels(j_above, excited), dipole)
                total += strengths.sum(0)
                # Ka + Kc keeps its parity where the dipole lies along b, and changes it where along a.
                above, below = torch.arange(2 * j_above + 1) + j_above, torch.arange(2 * j + 1) + j
                forbidden = (above[:, None] + below) % 2 == (1 if dipole == "b" else 0)
                assert strengths[forbidden].abs().max() < 1e-12 if forbidden.any() else True
            torch.testing.assert_close(total, torch.full_like(total, 2 * j + 1))

    @pytest.mark.parametrize(
        "measured", [1576.19, 1616.71, 1635.65, 1653.27, 1684.84, 1695.93, 1717.41, 1734.65, 1739.84, 3749.33, 3853.97]
    )
    def test_strong_lines_of_water_are_where_they_are_measured(self, measured):
        positions, strengths = gas_lines.water_lines()
        strong = positions[strengths > 0.1 * strengths.max()]
        assert (strong - measured).abs().min() < 0.7

    def test_carbon_dioxide(self):
        positions, strengths = gas_lines.carbon_dioxide_lines()
        for measured in (2349.92, 2361.47, 2335.92, 667.38):  # R(0), R(16), P(16), and the head of branch Q
            assert (positions - measured).abs().min() < 0.05
        assert strengths[positions > 2000].sum() / strengths.sum() == pytest.approx(91 / 99)

    def test_lines_lie_in_their_ranges(self):
        flat = torch.ones(1, 3501)
        added = a.AtmosphericLines(0.1, 0.0)(flat, IR)[0] - 1
        wet = (IR.grid > 1300) & (IR.grid < 2000) | (IR.grid > 3450)
        assert added[~wet].abs().max() < 0.01
        assert float(added.max()) == pytest.approx(0.1, rel=0.03)
        added = a.AtmosphericLines(0.0, -0.1)(flat, IR)[0] - 1
        assert float(added.min()) == pytest.approx(-0.1, rel=0.03)
        dry = (IR.grid > 2280) & (IR.grid < 2400) | (IR.grid < 760)
        assert added[~dry].abs().max() < 0.002

    def test_a_range_without_gas_lines_stays(self):
        axis = ms.data.SpectrumAxis("raman", 2500.0, 3000.0, 1.0, "cm^-1")
        spectra = torch.rand(2, axis.length)
        torch.testing.assert_close(a.AtmosphericLines(0.1, 0.1)(spectra, axis), spectra, atol=1e-4, rtol=0)
