"""Masks over peaks, bins of positions, and the prediction of hidden peaks."""

import math

import pytest
import torch
from torch.nn import functional as F

import molspectra as ms
from molspectra.data import PeakAxis, SpectrumAxis
from molspectra.objectives import MaskedPeakLoss
from molspectra.spectra import PeakBins, PeakDecoder, PeakMask, PeakPrediction, SpecFormer

NAN = math.nan
CARBON = PeakAxis("c_nmr", "ppm", (-20, 240))
HSQC = PeakAxis("hsqc", "ppm", [(0, 200), (0, 10)])


def lists(*numbers):
    """Lists of so many peaks, padded with NaN."""
    peaks = 200 * torch.rand(len(numbers), max(numbers), 2)
    for row, number in enumerate(numbers):
        peaks[row, number:] = NAN
    return peaks


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.9])
def test_each_list_hides_its_share_and_shows_a_peak(ratio):
    numbers = [10, 7, 2, 1, 0]
    hidden = PeakMask({"c_nmr": CARBON}, ratio)({"c_nmr": lists(*numbers)}, torch.Generator().manual_seed(0))["c_nmr"]
    wanted = [0 if ratio == 0 else min(max(1, round(ratio * number)), number - 1) for number in numbers]
    assert hidden.sum(dim=1).tolist() == [max(0, number) for number in wanted]
    assert not bool(hidden[4].any())


def test_every_peak_is_hidden_equally_often():
    peaks, mask = lists(5).expand(3000, -1, -1), PeakMask({"c_nmr": CARBON}, 0.4)
    share = mask({"c_nmr": peaks}, torch.Generator().manual_seed(0))["c_nmr"].double().mean(dim=0)
    torch.testing.assert_close(share, torch.full((5,), 0.4, dtype=torch.float64), rtol=0, atol=4 * 0.49 / 3000**0.5)


def test_the_same_generator_gives_the_same_mask_of_spectra_molecules_and_prepared_ones():
    specformer = SpecFormer({"c_nmr": CARBON}, hidden_channels=8, num_heads=2)
    mask, peaks = PeakMask(specformer.peak_axes, 0.5), lists(5, 3)
    given = [{"c_nmr": peaks}, ms.data.Collate()([ms.data.from_smiles("C")] * 2), specformer.prepare({"c_nmr": peaks})]
    given[1].c_nmr = peaks
    drawn = [mask(spectra, torch.Generator().manual_seed(3))["c_nmr"] for spectra in given]
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert repr(mask) == "PeakMask(['c_nmr'], mask_ratio=0.5)"


def test_broken_masks_are_refused():
    with pytest.raises(ValueError, match=r"mask_ratio must lie in \[0, 1\); got 1.0"):
        PeakMask({"c_nmr": CARBON}, 1.0)


@pytest.mark.parametrize(("axis", "number"), [(CARBON, 260), (HSQC, 1024), (HSQC, 2)])
def test_the_center_of_each_bin_lies_in_it(axis, number):
    bins = PeakBins(axis, number)
    assert bins.index(bins.centers).tolist() == list(range(bins.number))
    ends = torch.tensor(axis.ranges).T
    assert bins.index(ends).tolist() == [0, bins.number - 1]


def test_the_loss_is_that_of_the_formula():
    bins = PeakBins(HSQC, 16)
    target = torch.tensor([[[30.0, 1.0, 0.5], [150.0, 9.0, 1.0]], [[10.0, 8.0, 0.2], [0.0, 0.0, 0.0]]])
    masked = torch.tensor([[True, False], [True, False]])
    prediction = PeakPrediction(torch.randn(2, 2, 16), torch.rand(2, 2, 16))
    expected = 0.0
    for row, index in ((0, 0 * 4 + 0), (1, 0 * 4 + 3)):
        expected -= prediction.logits[row, 0].log_softmax(dim=0)[index] / 2
        expected += 0.7 * (prediction.intensity[row, 0, index] - target[row, 0, 2]) ** 2 / 2
    loss = MaskedPeakLoss({"hsqc": bins}, intensity_weight=0.7)
    torch.testing.assert_close(loss({"hsqc": prediction}, {"hsqc": target}, {"hsqc": masked}), expected)
    nothing = loss({"hsqc": prediction}, {"hsqc": target}, {"hsqc": torch.zeros_like(masked)})
    assert nothing == 0


def test_a_uniform_guess_has_the_entropy_of_the_bins():
    bins = PeakBins(CARBON, 128)
    flat = PeakPrediction(torch.zeros(1, 3, 128), torch.ones(1, 3, 128))
    target = torch.tensor([[[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]])
    loss = MaskedPeakLoss({"c": bins})({"c": flat}, {"c": target}, {"c": torch.ones(1, 3, dtype=torch.bool)})
    torch.testing.assert_close(loss, torch.tensor(math.log(128)))


def test_losses_of_broken_shapes_are_refused():
    loss, target = MaskedPeakLoss({"c": PeakBins(CARBON, 8)}), {"c": torch.zeros(1, 2, 2)}
    masked = {"c": torch.ones(1, 2, dtype=torch.bool)}
    with pytest.raises(ValueError, match=r"must have shape \(1, 2, 8\) and masked \(1, 2\)"):
        loss({"c": PeakPrediction(torch.zeros(1, 2, 9), torch.zeros(1, 2, 9))}, target, masked)
    with pytest.raises(ValueError, match="masked is empty"):
        loss({}, target, {})
    with pytest.raises(ValueError, match=r"masked has the kinds \['d'\]"):
        loss({}, target, {"d": masked["c"]})


def peak_method(**axes):
    torch.manual_seed(0)
    specformer = SpecFormer(axes, hidden_channels=32, num_layers=2, num_heads=4, out_channels=32)
    return ms.methods.MaskedReconstruction(specformer, mask_ratio=0.3)


def test_masked_modelling_learns_where_hidden_peaks_are():
    """Lists of two kinds, each with shifts of its own: a visible peak tells where the hidden one is."""
    method = peak_method(c_nmr=CARBON)
    shifts = torch.tensor([[20.0, 60.0, 130.0], [40.0, 90.0, 170.0]])
    peaks = torch.stack([shifts, torch.ones(2, 3)], dim=-1).repeat(8, 1, 1)
    optimizer, generator = torch.optim.Adam(method.parameters(), lr=3e-3), torch.Generator().manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        loss = method({"c_nmr": peaks}, generator=generator)["loss"]
        loss.backward()
        optimizer.step()
    # With one of three peaks hidden, two visible ones leave no doubt.
    assert loss < 0.2


def test_grids_and_peaks_are_reconstructed_together():
    axes = {"ir": SpectrumAxis("ir", 0, 99, 1, "cm^-1"), "c_nmr": CARBON, "hsqc": HSQC}
    method = peak_method(**axes)
    spectra = {"ir": torch.rand(4, 100), "c_nmr": lists(5, 4, 3, 2), "hsqc": torch.rand(4, 3, 3)}
    losses = method(spectra, generator=torch.Generator().manual_seed(0))
    assert sorted(losses) == ["loss", "reconstruction"]
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    # The parts add up: each kind alone, hidden as before.
    prepared = method.specformer.prepare(spectra)
    masked = method._hide(prepared, torch.Generator().manual_seed(0))
    tokens = method.specformer.split(method.specformer(prepared, masked).tokens, prepared)
    total = method.reconstruction(
        method.reconstruct({"ir": tokens["ir"]}), method.specformer.patches(prepared), {"ir": masked["ir"]}
    )
    for kind in ("c_nmr", "hsqc"):
        logits, intensity = method.peak_reconstruct({kind: tokens[kind]})[kind]
        hidden = masked[kind]
        d = axes[kind].num_positions
        index = method.peak_reconstruct.bins[kind].index(prepared.scaled[kind][..., :d])[hidden]
        total = total + F.cross_entropy(logits[hidden], index)
        guess = intensity[hidden].gather(1, index[:, None])[:, 0]
        total = total + F.mse_loss(guess, prepared.scaled[kind][..., d][hidden])
    torch.testing.assert_close(losses["loss"], total)


@pytest.mark.usefixtures("float32_weights")
def test_molspectra_learns_from_peaks_beside_grids(tmp_path):
    molecules = [ms.data.from_smiles(smiles) for smiles in ("CC", "CCO", "CO", "CCC")]
    for molecule, number in zip(molecules, (2, 3, 2, 4), strict=True):
        molecule.c_nmr = torch.rand(1, number, 2, dtype=torch.float32)
        molecule.ir = torch.rand(1, 100, dtype=torch.float32)
    encoder = ms.encoders.EGNN(16, num_layers=1)
    specformer = SpecFormer({"ir": 100, "c_nmr": CARBON}, hidden_channels=16, num_heads=4, out_channels=16)
    method = ms.methods.MolSpectra(ms.methods.Coord(16), specformer)
    losses = method(encoder, ms.data.Collate()(molecules), torch.Generator().manual_seed(0))
    losses["loss"].backward()
    assert losses["reconstruction"] > 1
    ms.pretrained.save(method, tmp_path)
    assert ms.pretrained.load(tmp_path).specformer.peak_axes == specformer.peak_axes


def test_decoders_are_made_for_tokens_of_a_width():
    with pytest.raises(ValueError, match="PeakDecoder was made for features of 8 channels; got 9"):
        PeakDecoder(8, {"c": CARBON})({"c": torch.zeros(1, 2, 9)})
