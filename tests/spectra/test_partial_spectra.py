"""Spectra with gaps: samples of NaN, which an instrument did not measure."""

import pytest
import torch
from torch_geometric.data import Data

import molspectra as ms
from molspectra.spectra import PatchMask, PerSpectrumScaling, SpecFormer, SpectrumPatcher
from molspectra.testing import assert_compiles

PATCHES = {"patch_len": 20, "stride": 10}
SIZES = {"hidden_channels": 16, "num_layers": 3, "num_heads": 4, "out_channels": 8}


def specformer(length=120, **arguments):
    torch.manual_seed(0)
    return SpecFormer({"ir": length}, **PATCHES, **SIZES, **arguments).double()


def with_gap(first, last, rows=4, length=120):
    """Random spectra, which were not measured from one sample to another in every row but the first."""
    spectrum = torch.rand(rows, length, dtype=torch.float64)
    spectrum[1:, first:last] = torch.nan
    return spectrum


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_half_a_spectrum_is_encoded_as_by_a_model_of_that_half(training, norm):
    """The model of samples 40 to 120 has the weights of the same patches, and never sees the others."""
    whole, half = specformer(norm=norm).train(training), specformer(80, norm=norm).train(training)
    weights = whole.state_dict()
    weights["positions.ir"] = weights["positions.ir"][4:]
    weights["out_proj.weight"] = weights["out_proj.weight"][:, 4 * 16 :]
    half.load_state_dict(weights)
    spectrum = torch.rand(5, 120, dtype=torch.float64)
    spectrum[:, :40] = torch.nan
    actual, expected = whole({"ir": spectrum}), half({"ir": spectrum[:, 40:]})
    assert actual.valid.tolist() == [[False] * 4 + [True] * 7] * 5
    torch.testing.assert_close(actual.tokens[:, 4:], expected.tokens)
    torch.testing.assert_close(actual.embedding, expected.embedding)
    actual.embedding[:, 0].sum().backward()
    expected.embedding[:, 0].sum().backward()
    for name, parameter in half.named_parameters():
        gradient = dict(whole.named_parameters())[name].grad
        if name == "positions.ir":
            gradient = gradient[4:]
        elif name == "out_proj.weight":
            gradient = gradient[:, 4 * 16 :]
        torch.testing.assert_close(gradient, parameter.grad, msg=name)


def test_samples_beside_a_gap_are_not_read():
    """A patch with one missing sample is absent as a whole."""
    module, spectrum = specformer(), with_gap(55, 57)
    reference = module({"ir": spectrum})
    assert reference.valid[1].tolist() == [True] * 4 + [False] * 2 + [True] * 5
    spectrum[1:, 50:55] += 1.0  # in the patches from 40 and from 50 alone
    torch.testing.assert_close(module({"ir": spectrum}).embedding, reference.embedding, rtol=0, atol=0)
    spectrum[1:, 39] += 1.0
    assert not torch.allclose(module({"ir": spectrum}).embedding[1], reference.embedding[1])


def may_be_hidden(patcher, measured):
    """Find the measured samples in no incomplete patch, one sample and one patch after the other."""
    found = torch.zeros_like(measured)
    for row in range(measured.shape[0]):
        for sample in range(patcher.length):
            starts = range(0, patcher.num_patches * patcher.stride, patcher.stride)
            around = [start for start in starts if start <= sample < start + patcher.patch_len]
            complete = all(measured[row, start : start + patcher.patch_len].all() for start in around)
            found[row, sample] = measured[row, sample] and complete
    return found


@pytest.mark.parametrize("sizes", [(120, 20, 10), (125, 20, 7), (30, 5, 9), (12, 12, 3)])
def test_samples_in_incomplete_patches_are_not_hidden(sizes):
    patcher = SpectrumPatcher(*sizes)
    measured = torch.rand(6, sizes[0]) > 0.02
    measured[0], measured[1] = True, False
    expected = may_be_hidden(patcher, measured)
    assert torch.equal(patcher.untouched(measured), expected)
    spectrum = torch.where(measured, 1.0, torch.nan)
    generator = torch.Generator().manual_seed(0)
    masks = [PatchMask({"ir": patcher}, 0.5)({"ir": spectrum}, generator)["ir"] for _ in range(20)]
    assert not (torch.stack(masks) & ~expected).any()
    patches = PatchMask({"ir": patcher}, 0.5, "patch")({"ir": spectrum}, generator)["ir"]
    assert not (patches & ~patcher.complete(measured)).any()


def test_a_complete_spectrum_is_masked_as_ever():
    patcher, spectrum = SpectrumPatcher(120, 20, 10), with_gap(30, 50)
    for mode in ("interval", "patch"):
        mask = PatchMask({"ir": patcher}, 0.3, mode)
        one, other = (mask({"ir": x}, torch.Generator().manual_seed(1))["ir"] for x in (spectrum, torch.rand(4, 120)))
        assert torch.equal(one[0], other[0])


@pytest.mark.parametrize("mask_mode", ["interval", "patch"])
def test_reconstruction_leaves_gaps_alone(mask_mode):
    method = ms.methods.MaskedReconstruction(specformer(), mask_ratio=0.5, mask_mode=mask_mode).double()
    spectrum = with_gap(55, 57)

    def loss():
        return method({"ir": spectrum}, generator=torch.Generator().manual_seed(2))["loss"]

    before = loss()
    before.backward()
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters() if parameter.grad is not None)
    spectrum[1:, 50:55] += 1.0
    torch.testing.assert_close(loss(), before, rtol=0, atol=0)


@pytest.mark.usefixtures("float32_weights")
def test_a_gap_in_a_molecule_reaches_the_contrast():
    molecules = ms.data.MiniSpectra()[:4]
    for molecule in molecules:
        assert isinstance(molecule, Data)
    batch = ms.data.Collate()(list(molecules))
    batch.ir[:, :300] = torch.nan  # an instrument that begins at 800 cm^-1
    batch.raman[1, 1000:1200] = torch.nan
    axes = ms.data.MiniSpectra.axes
    module = SpecFormer(axes, hidden_channels=16, num_heads=4, num_layers=1, out_channels=16)
    method = ms.methods.MolSpectra(ms.methods.Coord(16), module)
    losses = method(ms.encoders.PaiNN(16, 1), batch)
    losses["loss"].backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters() if parameter.grad is not None)
    ms.data.validate(batch)


@pytest.mark.parametrize("by", ["max", "area", "snv"])
def test_statistics_of_a_spectrum_leave_gaps_out(by):
    scaling, spectrum = PerSpectrumScaling(by), torch.randn(3, 50, dtype=torch.float64)
    gap = spectrum.clone()
    gap[:, 20:35] = torch.nan
    rest = torch.cat([gap[:, :20], gap[:, 35:]], dim=1)
    scaled = scaling(gap)
    assert scaled[:, 20:35].isnan().all()
    torch.testing.assert_close(torch.cat([scaled[:, :20], scaled[:, 35:]], dim=1), scaling(rest))
    module = specformer(50, scaling=scaling)
    prepared = module.prepare({"ir": gap})
    torch.testing.assert_close(prepared.scaled["ir"], scaled.nan_to_num(0.0))
    gap.requires_grad_()
    module({"ir": gap}).embedding.sum().backward()
    assert gap.grad.isfinite().all()


def test_gaps_that_leave_nothing_and_infinite_values_are_refused():
    spectrum = torch.rand(2, 120, dtype=torch.float64)
    spectrum[1, ::9] = torch.nan
    with pytest.raises(ValueError, match=r"row 1 has 106 samples between gaps of NaN, and no complete patch of 20"):
        specformer()({"ir": spectrum})
    spectrum[1] = torch.inf
    with pytest.raises(ValueError, match=r"spectra\['ir'\] row 1 .*infinite values are no intensities"):
        specformer()({"ir": spectrum})
    spectrum[1], spectrum[0, 3] = 0.0, torch.nan
    with pytest.raises(ValueError, match="or use SpecFormer, which reads spectra with gaps"):
        ms.spectra.CNNAM({"ir": 120}).double()({"ir": spectrum})


@pytest.mark.compile
def test_gaps_compile_to_one_graph():
    calls = [{"spectra": {"ir": with_gap(30, 60, rows)}} for rows in (4, 5, 7)]
    assert_compiles(specformer(), calls, max_graphs=1)
