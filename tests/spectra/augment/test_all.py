"""Properties that all augmentations share."""

import copy
import inspect
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import molspectra as ms
from molspectra.spectra import augment as a
from molspectra.spectra.augment.augmentation import check_augmentation
from molspectra.spectra.augment.ranges import check_range

AXIS = ms.data.SpectrumAxis("ir", 500.0, 4000.0, 5.0, "cm^-1")
GRID = {
    "atmosphere": a.AtmosphericLines(fwhm=8.0),
    "baseline": a.Baseline(),
    "rubber band": a.RubberBandResidue(),
    "crop": a.CropRange((500, 900), (3500, 4000)),
    "gain": a.Gain(),
    "band gain": a.BandGain(200.0),
    "white noise": a.WhiteNoise(),
    "shot noise": a.ShotNoise(),
    "shift": a.Shift((-20, 20)),
    "shift to nan": a.Shift((-20, 20), outside="nan"),
    "scale factor": a.ScaleFactor(),
    "lorentzian": a.Rebroaden((30, 60), 20),
    "gaussian": a.Rebroaden((30, 60), 20, "gaussian"),
    "resolution": a.ResolutionLoss((10, 40)),
    "saturation": a.Saturation(),
}
GRID["sometimes"] = a.Sometimes(a.Compose(list(GRID.values())))
PEAKS = {
    "drop": a.DropPeaks(0.5),
    "jitter": a.MassJitter((5, 10), (-5, 5)),
    "position jitter": a.PositionJitter((0.5, 1.0), (-2.0, 2.0)),
    "isotopes": a.IsotopePeaks(),
    "noise peaks": a.NoisePeaks((50, 500), (1, 4)),
    "broaden": a.BroadenSticks((10, 40)),
    "sticks to noise": a.Compose([a.DropPeaks(), a.BroadenSticks((10, 40)), a.WhiteNoise()]),
}
ALL = GRID | PEAKS


def spectra(dtype=torch.float64):
    """Four spectra: with lines, with a gap, missing, and of zeros."""
    peaks = torch.rand(4, 12, generator=torch.Generator().manual_seed(1), dtype=dtype)
    made = a.BroadenSticks(40.0)(torch.stack([700 + 3000 * peaks, peaks.flip(1)], -1), AXIS)
    made[1, 300:340] = torch.nan
    made[2] = torch.nan
    made[3] = 0.0
    return made


def peaks(dtype=torch.float64):
    """Four lists of peaks: full, padded, missing, and of one peak."""
    made = torch.rand(4, 9, 2, generator=torch.Generator().manual_seed(1), dtype=dtype) * 400 + 100
    made[1, 5:] = torch.nan
    made[2] = torch.nan
    made[3, 1:] = torch.nan
    return made


def given(name, dtype=torch.float64):
    return spectra(dtype) if name in GRID else peaks(dtype)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_input_stay(name, dtype):
    x = given(name, dtype)
    before = x.clone()
    assert ALL[name](x, AXIS, seeded()).dtype == dtype
    assert torch.equal(x.nan_to_num(-1), before.nan_to_num(-1))


@pytest.mark.parametrize("name", ALL)
def test_the_same_state_gives_the_same_bits(name):
    x = given(name)
    first, again, other = (ALL[name](x, AXIS, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.nan_to_num(-1), again.nan_to_num(-1))
    if name != "sometimes":
        assert not torch.equal(first.nan_to_num(-1), other.nan_to_num(-1))
    torch.manual_seed(5)
    default = ALL[name](x, AXIS)
    torch.manual_seed(5)
    assert torch.equal(default.nan_to_num(-1), ALL[name](x, AXIS).nan_to_num(-1))


@pytest.mark.parametrize("name", ALL)
def test_missing_spectra_stay_missing_and_others_do_not_become_so(name):
    missing = ALL[name](given(name), AXIS, seeded()).flatten(1).isnan().all(dim=1)
    assert missing.tolist() == [False, False, True, False]


@pytest.mark.parametrize("name", sorted(set(GRID) - {"shift", "shift to nan", "scale factor", "sometimes"}))
def test_gaps_stay_where_they_are(name):
    result = GRID[name](spectra(), AXIS, seeded())[1]
    assert result[300:340].isnan().all()
    assert result[120:300].isfinite().all()
    assert result[340:580].isfinite().all()


@pytest.mark.parametrize("name", GRID)
def test_values_in_gaps_and_missing_spectra_do_not_matter(name):
    x = spectra()
    alone = GRID[name](x, AXIS, seeded())
    x[2] = 7.0  # a spectrum that is there changes nothing in the others
    assert torch.equal(GRID[name](x, AXIS, seeded())[[0, 1, 3]].nan_to_num(-1), alone[[0, 1, 3]].nan_to_num(-1))


@pytest.mark.parametrize("name", GRID)
def test_spectra_of_zeros_stay_finite(name):
    result = GRID[name](spectra(), AXIS, seeded())[3]
    assert result[120:580].isfinite().all()
    assert (result.nan_to_num(0) == 0).all()  # noise and baselines are relative to the strongest band


@pytest.mark.parametrize("name", ALL)
def test_gradients_flow_and_are_finite(name):
    x = given(name).requires_grad_()
    ALL[name](x, AXIS, seeded()).nan_to_num(0.0).sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[0] != 0).any()
    assert (x.grad[2] == 0).all()


@pytest.mark.parametrize("name", sorted(set(GRID) - {"sometimes"}))
def test_gradients_equal_differences(name):
    axis = ms.data.SpectrumAxis("ir", 2000.0, 2400.0, 25.0, "cm^-1")
    few = {"atmosphere": a.AtmosphericLines(fwhm=50.0), "crop": a.CropRange((2050, 2100), (2300, 2350))}
    augmentation = few.get(name, GRID[name])
    x = (torch.rand(2, axis.length, dtype=torch.float64) + 0.5).requires_grad_()

    # Levels that follow the strongest sample count as constants, so that it is kept out of the differences.
    def function(values):
        full = torch.cat([values, torch.full((2, 1), 2.0, dtype=torch.float64)], dim=1)
        longer = ms.data.SpectrumAxis("ir", 2000.0, 2425.0, 25.0, "cm^-1")
        return augmentation(full, longer, seeded()).nan_to_num(0.0)

    if name != "shot noise":  # its level follows every sample
        assert torch.autograd.gradcheck(function, x, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_no_spectra_give_no_spectra(name):
    assert ALL[name](given(name)[:0], AXIS, seeded()).shape[0] == 0


@pytest.mark.parametrize("name", ALL)
def test_parameters_are_drawn_for_each_spectrum(name):
    x = given(name)[:1].expand(3, *given(name).shape[1:])
    if name not in ("sometimes", "drop"):
        first, second, _ = ALL[name](x, AXIS, seeded()).nan_to_num(-1)
        assert not torch.equal(first, second)


class Calls(TorchDispatchMode):
    """Counts operators, and those that read a value or make a tensor of Python numbers, which a device waits for."""

    def __init__(self):
        super().__init__()
        self.count, self.waiting = 0, []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += 1
        if function.overloadpacket.__name__ in ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "lift_fresh"):
            self.waiting.append(function)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("name", ALL)
def test_no_waiting_and_no_loop_over_molecules(name, monkeypatch):
    monkeypatch.setattr("molspectra.spectra.broadening.values_are_free", lambda tensor: False)
    x = given(name)
    ALL[name](x, AXIS)  # templates of gases are made once
    counts = []
    for batch in (x, torch.cat([x, x, x])):
        with Calls() as calls:
            ALL[name](batch, AXIS)
        assert calls.waiting == []
        counts.append(calls.count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", ALL)
def test_can_be_printed_copied_and_pickled(name):
    augmentation = ALL[name]
    assert repr(augmentation).startswith(type(augmentation).__name__ + "(")
    x = given(name)
    expected = augmentation(x, AXIS, seeded()).nan_to_num(-1)
    for other in (copy.deepcopy(augmentation), pickle.loads(pickle.dumps(augmentation))):
        assert torch.equal(other(x, AXIS, seeded()).nan_to_num(-1), expected)


def test_every_augmentation_is_tested():
    public = {name for name in a.__all__ if inspect.isclass(getattr(a, name))}
    bases = {"Augment", "Augmentation", "GridAugmentation", "PeakAugmentation"}
    assert {type(augmentation).__name__ for augmentation in ALL.values()} == public - bases


def test_ranges_print_as_given():
    assert repr(a.Shift((-20, 20))) == "Shift(distance=[-20, 20], outside='edge')"


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: a.Shift((5, -5)), ValueError, "distance must be finite and ascend"),
        (lambda: check_range("distance", "5"), TypeError, "distance must be a number or a pair"),
        (lambda: check_range("distance", (1, 2, 3)), TypeError, "distance must be a number or a pair"),
        (lambda: a.Shift(float("nan")), ValueError, "distance must be finite"),
        (lambda: a.Shift(1.0, outside="zero"), ValueError, "outside"),
        (lambda: a.ScaleFactor(0.0), ValueError, "factor must be greater than 0"),
        (lambda: a.WhiteNoise(snr=0), ValueError, "snr must be greater than 0"),
        (lambda: a.ShotNoise(snr=(-1, 3)), ValueError, "snr must be greater than 0"),
        (lambda: a.Baseline(-0.1), ValueError, "amplitude must be at least 0"),
        (lambda: a.Baseline(degree=-1), ValueError, "degree must be at least 0"),
        (lambda: a.RubberBandResidue(contacts=0), ValueError, "contacts"),
        (lambda: a.Rebroaden((5, 30), original=10), ValueError, "fwhm must be at least 10"),
        (lambda: a.Rebroaden(5, shape="voigt"), ValueError, "shape"),
        (lambda: a.ResolutionLoss(-1), ValueError, "resolution must be at least 0"),
        (lambda: a.Gain(0), ValueError, "factor must be greater than 0"),
        (lambda: a.BandGain(0), ValueError, "width must be greater than 0"),
        (lambda: a.CropRange((500, 900), (800, 4000)), ValueError, "start must lie below stop"),
        (lambda: a.CropRange(5000, 6000)(spectra(), AXIS), ValueError, "leave a part of the axis"),
        (lambda: a.Saturation(stray_light=0), ValueError, "stray_light must be greater than 0"),
        (lambda: a.AtmosphericLines(fwhm=0), ValueError, "fwhm must be greater than 0"),
        (lambda: a.AtmosphericLines(fwhm=1)(spectra(), AXIS), ValueError, "at least the step"),
        (lambda: a.AtmosphericLines()(torch.rand(1, 601), ms.data.UV_VIS), ValueError, "cm\\^-1"),
        (lambda: a.DropPeaks(1.2), ValueError, "fraction must be at least 0 and at most 1"),
        (lambda: a.MassJitter(-1), ValueError, "ppm must be at least 0"),
        (lambda: a.IsotopePeaks(1.0), ValueError, "mass_per_carbon must be at least 12"),
        (lambda: a.IsotopePeaks(charge=0), ValueError, "charge"),
        (lambda: a.NoisePeaks((50, 100), count=(0, 1.5)), TypeError, "count must be an integer"),
        (lambda: a.NoisePeaks((50, 100), height=0), ValueError, "height must be greater than 0"),
        (lambda: a.BroadenSticks(0), ValueError, "fwhm must be greater than 0"),
        (lambda: a.BroadenSticks(2)(peaks(), AXIS), ValueError, "at least the step"),
        (lambda: a.BroadenSticks(20)(peaks()), TypeError, "axis must be a SpectrumAxis"),
        (lambda: a.Sometimes(a.Gain(), 1.5), ValueError, "probability must be between 0 and 1"),
        (lambda: a.Sometimes(a.IsotopePeaks())(peaks()), ValueError, "must keep the shape"),
        (lambda: check_augmentation("augmentation", a.Gain), TypeError, "must be an augmentation.*parentheses"),
        (lambda: a.Gain()(spectra()), TypeError, "axis must be a SpectrumAxis"),
        (lambda: a.Gain()(spectra()[0], AXIS), ValueError, "shape \\(B, 701\\)"),
        (lambda: a.Gain()(spectra(), ms.data.IR), ValueError, "shape \\(B, 3501\\)"),
        (lambda: a.Gain()(spectra().half(), AXIS), TypeError, "float32 or float64"),
        (lambda: a.DropPeaks()(spectra()), ValueError, "shape \\(B, K, 2\\)"),
    ],
)
def test_bad_input_is_named(make, error, text):
    with pytest.raises(error, match=text):
        make()
