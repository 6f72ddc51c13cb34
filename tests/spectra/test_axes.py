"""Spectrum encoders from axes, their defaults, batches of molecules as input, and places of tokens."""

import copy
import pickle

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms

pytestmark = pytest.mark.usefixtures("float32_weights")

AXES = ms.data.MiniSpectra.axes
SMALL = {"hidden_channels": 16, "num_layers": 1, "num_heads": 4, "out_channels": 16}
NMR = ms.data.SpectrumAxis("nmr_h", 0.0, 12.0, 0.5, "ppm")


@pytest.fixture(scope="module")
def specformer():
    return ms.spectra.SpecFormer(AXES, **SMALL).float().eval()


@pytest.fixture(scope="module")
def batch():
    return Batch.from_data_list(ms.data.MiniSpectra()[:3])


def test_axes_are_lengths(specformer):
    assert specformer.lengths == {"uv_vis": 601, "ir": 3501, "raman": 3501}
    assert specformer.axes == dict(AXES)


def test_default_patches_are_the_released_ones(specformer):
    released = ms.spectra.SpecFormer.released()
    assert specformer.num_patches["ir"] == released.num_patches["ir"]
    by_default = ms.spectra.SpecFormer({"uv_vis": 701, "ir": 3501, "raman": 3501}, **SMALL)
    assert by_default.num_patches == released.num_patches


@pytest.mark.parametrize(
    ("length", "given", "expected"),
    [
        (601, {}, (20, 10)),
        (3501, {}, (50, 25)),
        (7001, {}, (100, 50)),
        (12, {}, (12, 6)),
        (1, {}, (1, 1)),
        (601, {"patch_len": 30}, (30, 15)),
        (601, {"stride": 15}, (30, 15)),
        (601, {"patch_len": 7, "stride": 9}, (7, 9)),
    ],
)
def test_defaults_of_patches(length, given, expected):
    patcher = ms.spectra.SpecFormer({"ir": length}, **given, **SMALL).patchers["ir"]
    assert (patcher.patch_len, patcher.stride) == expected


def test_a_patch_length_for_one_kind_needs_one_for_each():
    with pytest.raises(ValueError, match="patch_len must have the kinds"):
        ms.spectra.SpecFormer(AXES, {"ir": 50}, **SMALL)


def test_places_of_tokens_are_the_means_of_their_patches(specformer):
    places = specformer.token_positions()
    for kind, axis in AXES.items():
        expected = specformer.patchers[kind](axis.grid.unsqueeze(0))[0].mean(dim=1)
        torch.testing.assert_close(places[kind], expected, rtol=1e-12, atol=0)


def test_places_of_feature_maps():
    # A line at a place changes the features there most, and nowhere else than within the field of view.
    axes = {"nmr_h": ms.data.SpectrumAxis("nmr_h", 0.0, 12.0, 0.01, "ppm")}
    cnn = ms.spectra.CNNAM(axes, 8, channels=(4, 8), kernel_size=5)
    places = cnn.token_positions()["nmr_h"]
    assert len(places) == cnn.num_tokens["nmr_h"]
    spectrum = torch.zeros(1, axes["nmr_h"].length, dtype=torch.float32)
    line = 40
    spectrum[0, round(places[line].item() / 0.01)] = 1.0
    change = (
        cnn.trunks["nmr_h"][0].conv(spectrum.unsqueeze(1)) - cnn.trunks["nmr_h"][0].conv(0 * spectrum[None])
    ).abs()
    assert change.sum(dim=(0, 1)).nonzero()[:, 0].tolist() == [4 * line]


def test_places_without_an_axis():
    specformer = ms.spectra.SpecFormer({"nmr_h": 25}, 5, 5, **SMALL)
    with pytest.raises(ValueError, match="The axis of 'nmr_h' is not known: build SpecFormer with axes"):
        specformer.token_positions()
    torch.testing.assert_close(
        specformer.token_positions({"nmr_h": NMR})["nmr_h"], torch.tensor([1.0, 3.5, 6.0, 8.5, 11.0]).double()
    )
    with pytest.raises(ValueError, match="must have 25 samples; got 3501"):
        specformer.token_positions({"nmr_h": ms.data.IR})


@pytest.mark.parametrize(
    "make", [lambda: ms.spectra.SpecFormer(AXES, **SMALL), lambda: ms.spectra.CNNAM(AXES, 16, channels=(4, 8))]
)
def test_a_batch_is_the_dict_of_its_fields(make, batch):
    encoder = make().eval()
    expected = encoder({kind: batch[kind] for kind in AXES}).embedding
    torch.testing.assert_close(encoder(batch).embedding, expected, rtol=0, atol=0)
    one = ms.data.MiniSpectra()[1]
    torch.testing.assert_close(encoder(one).embedding, expected[1:2], rtol=1e-4, atol=1e-5)
    partly = Batch.from_data_list([Data(ir=molecule.ir) for molecule in batch.to_data_list()])
    torch.testing.assert_close(encoder(partly).embedding, encoder({"ir": batch.ir}).embedding, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"none of the spectra \['uv_vis', 'ir', 'raman'\], only \['z'\]"):
        encoder(Data(z=torch.tensor([6])))


def test_a_mask_of_a_batch(specformer, batch):
    mask = ms.spectra.PatchMask(specformer.patchers)
    of_batch, of_dict = (
        mask(spectra, torch.Generator().manual_seed(0)) for spectra in (batch, {kind: batch[kind] for kind in AXES})
    )
    assert all(torch.equal(of_batch[kind], of_dict[kind]) for kind in AXES)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies(specformer, batch, copied):
    assert torch.equal(copied(specformer)(batch).embedding, specformer(batch).embedding)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ms.spectra.SpecFormer({"ir": ms.data.IR, "nmr_h": NMR}, **SMALL),
        lambda: ms.spectra.CNNAM({"ir": ms.data.IR, "nmr_h": NMR}, 16, channels=[4, 8]),
        lambda: ms.heads.SpectrumHead(8, {"ir": ms.data.IR, "nmr_h": NMR}),
    ],
)
def test_saved_and_loaded_with_axes(make, tmp_path):
    module = make()
    ms.pretrained.save(module, tmp_path)
    loaded = ms.pretrained.load(tmp_path)
    assert loaded.lengths == {"ir": 3501, "nmr_h": 25}
    assert loaded.config == module.config


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    "make",
    [
        ms.spectra.SpecFormer,
        ms.spectra.CNNAM,
        lambda lengths: ms.heads.SpectrumHead(8, lengths),
    ],
)
@pytest.mark.parametrize("lengths", [ms.data.IR, [ms.data.IR], "ir", {"ir": "IR"}, {"ir": 3501.5}, {"ir": None}])
def test_neither_axes_nor_lengths(make, lengths):
    with pytest.raises(TypeError, match=r"as in \{'ir': molspectra.data.IR\} or \{'ir': 3501\}; got"):
        make(lengths)
