"""Augmentations of lists of peaks, sticks, and molecules."""

import math

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

import molspectra as ms
from molspectra.spectra import augment as a

NAN = torch.nan
f64 = {"dtype": torch.float64}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_dropped_peaks_and_the_strongest():
    peaks = torch.rand(500, 40, 2) + 0.1
    dropped = a.DropPeaks(0.25)(peaks, generator=seeded())
    lost = dropped.isnan().all(-1)
    assert lost.equal(dropped.isnan().any(-1))
    assert float(lost.float().mean()) == pytest.approx(0.25 * 39 / 40, abs=0.01)
    assert dropped[..., 1].nan_to_num(0).amax(1).equal(peaks[..., 1].amax(1))


def test_jitter_is_in_parts_per_million():
    peaks = torch.full((200, 500, 2), 400.0, **f64)
    error = (a.MassJitter(5.0)(peaks, generator=seeded())[..., 0] / 400 - 1) * 1e6
    assert float(error.std()) == pytest.approx(5.0, rel=0.01)
    assert float(error.mean()) == pytest.approx(0.0, abs=0.1)
    error = (a.MassJitter(0.0, (-10, 10))(peaks, generator=seeded())[..., 0] / 400 - 1) * 1e6
    assert (error.std(1) < 1e-6).all()  # one calibration for a spectrum
    assert error.mean(1).unique().shape[0] == 200


def test_isotope_peaks_have_the_binomial_ratio():
    mass = 12.0 * 20
    both = a.IsotopePeaks(12.0, charge=2)(torch.tensor([[[mass / 2, 50.0], [NAN, NAN]]], **f64))[0]
    abundance = 0.0107  # of carbon-13: n p (1 - p)^(n - 1) / (1 - p)^n
    assert float(both[2, 1] / both[0, 1]) == pytest.approx(20 * abundance / (1 - abundance))
    assert float(both[2, 0]) == pytest.approx(mass / 2 + 1.0033548 / 2)
    assert both[[1, 3]].isnan().all()


def test_noise_peaks_keep_to_their_ranges():
    peaks = torch.tensor([[100.0, 10.0]]).expand(3000, 1, 2)
    noisy = a.NoisePeaks((50, 200), (1, 4), (1e-3, 1e-1))(peaks, generator=seeded())
    assert noisy.shape == (3000, 5, 2)
    assert noisy[:, :1].equal(peaks)
    added = noisy[:, 1:]
    counts = added[..., 0].isfinite().sum(1)
    shares = torch.bincount(counts, minlength=5) / 3000
    assert (shares[1:] - 0.25).abs().max() < 4 * math.sqrt(0.25 * 0.75 / 3000)
    known = added[added.isfinite().all(-1)]
    assert known[:, 0].min() >= 50
    assert known[:, 0].max() <= 200
    assert known[:, 1].min() >= 0.01 * (1 - 1e-6)
    assert known[:, 1].max() <= 1.0


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_sticks_are_broadened_one_by_one(shape):
    axis = ms.data.SpectrumAxis("ir", 500.0, 1000.0, 2.0, "cm^-1")
    sticks = torch.rand(3, 6, 2, **f64) * 400 + 550
    sticks[1, 3:] = NAN
    spectra = a.BroadenSticks(9.0, shape)(sticks, axis)
    for spectrum, lines in zip(spectra, sticks, strict=True):
        known = lines[lines.isfinite().all(-1)]
        torch.testing.assert_close(spectrum, ms.data.broaden(known[:, 0], known[:, 1], axis, 9.0, shape)[0])
    order = torch.randperm(6)
    torch.testing.assert_close(a.BroadenSticks(9.0, shape)(sticks[:, order], axis), spectra)


def test_widths_of_sticks_are_drawn_and_areas_stay():
    axis = ms.data.SpectrumAxis("ir", 500.0, 1500.0, 1.0, "cm^-1")
    sticks = torch.tensor([[1000.0, 3.0]], **f64).expand(40, 1, 2)
    spectra = a.BroadenSticks((8, 30), "gaussian")(sticks, axis, seeded())
    torch.testing.assert_close(spectra.sum(1), torch.full((40,), 3.0, **f64))
    widths = 3.0 * math.sqrt(4 * math.log(2) / math.pi) / spectra.amax(1)
    assert widths.min() >= 8
    assert widths.max() <= 30
    assert widths.std() > 4


def test_broaden_with_a_width_for_each_line():
    axis = ms.data.SpectrumAxis("x", 0.0, 60.0, 1.0, "eV")
    positions, intensities = torch.tensor([20.0, 30.0], **f64), torch.tensor([1.0, 2.0], **f64)
    widths = torch.tensor([5.0, 9.0], **f64)
    for shape in ("gaussian", "lorentzian"):
        one_by_one = sum(
            ms.data.broaden(positions[i : i + 1], intensities[i : i + 1], axis, float(widths[i]), shape)
            for i in range(2)
        )
        torch.testing.assert_close(ms.data.broaden(positions, intensities, axis, widths, shape), one_by_one)

        def of(x, i, w, shape=shape):
            return ms.data.broaden(x, i, axis, w, shape)

        inputs = [value.clone().requires_grad_() for value in (positions, intensities, widths)]
        assert torch.autograd.gradcheck(of, inputs)
    with pytest.raises(ValueError, match="fwhm must be positive"):
        ms.data.broaden(positions, intensities, axis, torch.tensor([5.0, -1.0], **f64))
    with pytest.raises(ValueError, match="one entry per line"):
        ms.data.broaden(positions, intensities, axis, widths.float())


class TestMolecules:
    augment = a.Augment(
        {"ir": [a.Shift((-5, 5)), a.WhiteNoise(30.0)], "ms": a.DropPeaks(0.5)}, ms.data.MiniSpectra.axes
    )

    def test_a_batch_equals_the_tensors(self):
        batch = Batch.from_data_list(ms.data.MiniSpectra()[:4])
        augmented = self.augment(batch, seeded())
        assert augmented.ir.equal(a.Compose([a.Shift((-5, 5)), a.WhiteNoise(30.0)])(batch.ir, ms.data.IR, seeded()))
        assert augmented.raman is batch.raman
        assert not augmented.ir.equal(batch.ir)
        assert batch.ir.equal(Batch.from_data_list(ms.data.MiniSpectra()[:4]).ir)

    def test_kinds_given_as_peaks_need_no_axis(self):
        molecule = Data(ms=torch.rand(1, 9, 2))
        assert self.augment(molecule).ms.isnan().any()

    def test_as_the_transform_of_a_loader(self):
        molecules = [self.augment(molecule, seeded(1)) for molecule in ms.data.MiniSpectra()[:3]]
        assert next(iter(DataLoader(molecules, batch_size=3))).ir.shape == (3, 3501)

    def test_bad_arguments_are_named(self):
        with pytest.raises(ValueError, match="at least one kind"):
            a.Augment({})
        with pytest.raises(TypeError, match="axis must be a SpectrumAxis"):
            a.Augment({"ir": a.Gain()})(ms.data.MiniSpectra()[0])
        assert repr(a.Augment({"ir": a.Gain(2.0)}, [ms.data.IR])).startswith("Augment(augmentations={'ir': ")


def test_positions_move_by_their_factors_and_stay_in_range():
    axis = ms.data.PeakAxis("hsqc", "ppm", [(-20, 240), (-2, 14)])
    peaks = torch.tensor([100.0, 5.0, 3.0], **f64).expand(300, 200, 3)
    moved = a.PositionJitter(2.0, factors=(1.0, 0.1))(peaks, axis, seeded()) - peaks
    assert moved[..., :2].flatten(0, 1).std(dim=0).tolist() == pytest.approx([2.0, 0.2], rel=0.02)
    assert not bool(moved[..., 2].any())
    common = a.PositionJitter(0.0, (-3, 3), (1.0, 0.1))(peaks, axis, seeded()) - peaks
    assert (common.std(dim=1) < 1e-9).all()  # one reference for a spectrum
    assert a.PositionJitter(1000.0, factors=(1.0, 1.0))(peaks, axis, seeded())[..., 1].max() == 14
    with pytest.raises(ValueError, match="factors must have a value for each of the 2 positions"):
        a.PositionJitter(1.0)(peaks, axis)


def test_cross_peaks_and_classes_are_dropped_by_their_intensity():
    axis = ms.data.PeakAxis("h_nmr", "ppm", (-2, 14), labels=["s", "d"])
    peaks = torch.tensor([[[7.0, 1.0, NAN], [1.0, 3.0, 0.0], [2.0, 2.0, 1.0]]])
    dropped = a.DropPeaks(1.0)(peaks, axis)
    assert dropped.isnan().all(-1).tolist() == [[True, False, True]]
    assert dropped[0, 1].tolist() == [1.0, 3.0, 0.0]
    with pytest.raises(ValueError, match="Peaks of several positions or with a class need their PeakAxis"):
        a.DropPeaks(1.0)(peaks)
    augmented = a.Augment({"h_nmr": [a.DropPeaks(1.0), a.PositionJitter(0.1)]}, [axis])(Data(h_nmr=peaks))
    assert augmented.h_nmr.isnan().all(-1).tolist() == [[True, False, True]]
