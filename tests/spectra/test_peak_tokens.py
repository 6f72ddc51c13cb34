"""Fourier features of positions, and tokens of peaks."""

import math

import pytest
import torch

from molspectra.data import PeakAxis
from molspectra.spectra import FourierFeatures, PeakTokens
from molspectra.spectra.peak_tokens import tokens_of_peaks

MASS = PeakAxis("ms_ms", "m/z", (0, 1000), precursor="precursor_mz")


def test_features_are_those_of_the_wavelengths_in_double_precision():
    features = FourierFeatures(span=1000.0, resolution=0.0005)
    positions = 1000 * torch.rand(200)
    exact = positions.double()[:, None] / torch.tensor(features.wavelengths, dtype=torch.float64)
    expected = torch.cat([(2 * math.pi * exact).sin(), (2 * math.pi * exact).cos()], dim=1)
    assert features.num_features == expected.shape[1]
    torch.testing.assert_close(features(positions).double(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(features(positions.double()), expected, rtol=0, atol=1e-9)


def test_wavelengths_reach_from_the_range_to_the_resolution():
    for span, resolution in ((1000.0, 0.0005), (260.0, 0.06), (16.0, 0.004), (0.3, 0.01), (1.0, 0.9)):
        wavelengths = FourierFeatures(span, resolution).wavelengths
        assert wavelengths[0] >= 2 * span
        assert wavelengths[-1] <= 4 * resolution or len(wavelengths) == 1


def test_neighboring_numbers_of_float32_are_told_apart_at_a_mass_of_500():
    mass = torch.tensor([500.0, 500.0], dtype=torch.float32)
    mass = mass.nextafter(torch.tensor([500.0, 1000.0], dtype=torch.float32))  # 0.06 ppm
    first, second = FourierFeatures(1000.0, 0.0005)(mass)
    assert (first - second).abs().max() > 0.05


def test_a_token_depends_on_its_own_peak_alone():
    tokens = PeakTokens(PeakAxis("c_nmr", "ppm", (-20, 240)), 16)
    peaks, present = torch.rand(2, 5, 2), torch.ones(2, 5, dtype=torch.bool)
    order = torch.randperm(5)
    torch.testing.assert_close(tokens(peaks[:, order], present)[0], tokens(peaks, present)[0][:, order])


def test_hidden_peaks_tell_nothing():
    tokens, hidden = PeakTokens(MASS, 16), torch.tensor([[True, False, False]])
    peaks, present = torch.rand(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
    precursor = torch.tensor([[2.0]])
    other = peaks.clone()
    other[:, 0] = torch.rand(2)
    found, valid = tokens(peaks, present, hidden, precursor)
    assert valid.tolist() == [[True] * 3 + [False, True, True] + [True]]
    again, _ = tokens(other, present, hidden, precursor)
    assert torch.equal(again[valid], found[valid])
    assert not torch.equal(again, tokens(other, present, None, precursor)[0])


def test_neutral_losses_are_the_masses_between_precursor_and_peaks():
    tokens, present = PeakTokens(MASS, 16), torch.ones(1, 1, dtype=torch.bool)

    def loss_of(mass, precursor):
        return tokens(torch.tensor([[[mass, 1.0]]]), present, None, torch.tensor([[precursor]]))[0][:, 1]

    assert torch.equal(loss_of(105.0, 123.0), loss_of(200.0, 218.0))
    assert not torch.equal(loss_of(105.0, 123.0), loss_of(105.0, 124.0))


def test_without_a_known_precursor_there_are_neither_losses_nor_its_token():
    tokens, present = PeakTokens(MASS, 16), torch.ones(2, 3, dtype=torch.bool)
    peaks = torch.rand(2, 3, 2)
    for precursor in (None, torch.full((2, 1), math.nan)):
        found, valid = tokens(peaks, present, None, precursor)
        assert found.shape == (2, tokens_of_peaks(MASS, 3), 16)
        assert valid.tolist() == [[True] * 3 + [False] * 4] * 2
        found[valid].sum().backward()
        assert all(parameter.grad is None or bool(parameter.grad.isfinite().all()) for parameter in tokens.parameters())
    alone = PeakTokens(PeakAxis("ms_ms", "m/z", (0, 1000), precursor="mz", neutral_losses=False), 16)
    assert tokens_of_peaks(alone.axis, 3) == alone(peaks, present)[0].shape[1] == 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_positions_keep_their_precision_beside_weights_of_another_dtype(dtype):
    tokens = PeakTokens(MASS, 64).to(dtype)
    present = torch.ones(1, 2, dtype=torch.bool)
    found, _ = tokens(torch.tensor([[[500.0, 1.0], [500.001, 1.0]]]), present)
    assert found.dtype == dtype
    assert (found[0, 0] - found[0, 1]).abs().max() > 0.02


def test_classes_add_a_vector_of_their_own():
    tokens, present = PeakTokens(PeakAxis("h", "ppm", (-2, 14), labels=["s", "d"]), 8), torch.tensor([[True] * 3])
    found, _ = tokens(torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 2.0]]]), present)
    torch.testing.assert_close(found[0, 1] - found[0, 0], tokens.label.weight[1] - tokens.label.weight[0])
