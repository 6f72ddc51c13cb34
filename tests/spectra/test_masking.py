"""Patches and masks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molspectra.spectra import PatchMask, SpectrumPatcher, mask_largest


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 60), patch_len=st.integers(1, 20), stride=st.integers(1, 20))
def test_patches_are_windows(length, patch_len, stride):
    if patch_len > length:
        with pytest.raises(ValueError, match="patch_len must be at most"):
            SpectrumPatcher(length, patch_len, stride)
        return
    patcher = SpectrumPatcher(length, patch_len, stride)
    spectrum = torch.randn(2, length)
    starts = range(0, length - patch_len + 1, stride)
    expected = torch.stack([spectrum[:, start : start + patch_len] for start in starts], dim=1)
    assert patcher.num_patches == len(starts)
    assert torch.equal(patcher(spectrum), expected)
    assert torch.equal(patcher.expand(spectrum > 0), expected > 0)


def test_a_mask_over_patches_covers_each_whole_patch():
    patcher = SpectrumPatcher(60, 20, 10)
    mask = torch.tensor([[True, False, False, True, False]])
    assert torch.equal(patcher.expand(mask).all(dim=2), mask)
    assert torch.equal(patcher.expand(mask).any(dim=2), mask)


def test_wrong_length_is_refused():
    with pytest.raises(ValueError, match="Expected spectra of 60 samples; got 61"):
        SpectrumPatcher(60, 20, 10)(torch.zeros(1, 61))


@pytest.mark.parametrize(
    ("patches", "ratio", "kept"), [(69, 0.1, 62), (139, 0.1, 125), (10, 0.9, 0), (90, 0.3, 62), (5, 0.0, 5)]
)
def test_patch_mode_counts_as_released(patches, ratio, kept):
    """int(n · (1 - r)) in floating point, which for (10, 0.9) and (90, 0.3) is one less than in exact arithmetic."""
    mask = mask_largest(torch.rand(4, patches), ratio)
    assert (~mask).sum(dim=1).tolist() == [kept] * 4


@settings(max_examples=50, deadline=None)
@given(
    length=st.integers(20, 200),
    patch_len=st.integers(1, 20),
    ratio=st.floats(0.01, 0.9),
    seed=st.integers(0, 10_000),
)
def test_interval_masks_cover_the_ratio_by_intervals_of_patch_length(length, patch_len, ratio, seed):
    patchers = {"ir": SpectrumPatcher(length, patch_len, max(1, patch_len // 2))}
    mask = PatchMask(patchers, ratio)({"ir": torch.rand(3, length)}, torch.Generator().manual_seed(seed))["ir"]
    assert mask.shape == (3, length)
    num_intervals = max(1, round(ratio * length / patch_len))
    for row in mask:
        hidden = int(row.sum())
        # Tiles at the two ends may be cut by the axis; all others are whole.
        assert max(1, (num_intervals - 2) * patch_len) <= hidden <= num_intervals * patch_len
        edges = torch.diff(row.int(), prepend=torch.zeros(1).int(), append=torch.zeros(1).int())
        for start, stop in zip((edges == 1).nonzero(), (edges == -1).nonzero(), strict=True):
            run = int(stop - start)
            assert run % patch_len == 0 or start == 0 or stop == length


def test_every_sample_is_hidden_equally_often():
    """Away from the ends of the axis, the share of draws that hide a sample is the ratio."""
    patchers = {"ir": SpectrumPatcher(400, 20, 10)}
    mask = PatchMask(patchers, 0.2)({"ir": torch.rand(20000, 400)}, torch.Generator().manual_seed(0))["ir"]
    share = mask.float().mean(dim=0)
    # 4 of 20 or 21 tiles, so 0.19 to 0.2, with a standard error of 0.0028.
    assert (share - 0.195).abs().max() < 0.02
    assert mask.float().sum(dim=1).std() > 0


@pytest.mark.parametrize("mode", ["interval", "patch"])
def test_same_generator_same_mask(mode):
    patchers = {"ir": SpectrumPatcher(400, 20, 10), "uv_vis": SpectrumPatcher(100, 20, 10)}
    spectra = {"ir": torch.rand(3, 400), "uv_vis": torch.rand(3, 100)}
    draw = PatchMask(patchers, 0.2, mode)
    first, second = (draw(spectra, torch.Generator().manual_seed(5)) for _ in range(2))
    other = draw(spectra, torch.Generator().manual_seed(6))
    assert all(torch.equal(first[kind], second[kind]) for kind in spectra)
    assert not torch.equal(first["ir"], other["ir"])


@pytest.mark.parametrize("mode", ["interval", "patch"])
def test_missing_spectra_and_ratio_zero_hide_nothing(mode):
    patchers = {"ir": SpectrumPatcher(400, 20, 10)}
    spectra = {"ir": torch.rand(3, 400)}
    assert not PatchMask(patchers, 0.0, mode)(spectra)["ir"].any()
    spectra["ir"][1] = torch.nan
    assert PatchMask(patchers, 0.2, mode)(spectra)["ir"].any(dim=1).tolist() == [True, False, True]


@pytest.mark.usefixtures("no_shape_checks")
def test_bad_arguments():
    patchers = {"ir": SpectrumPatcher(400, 20, 10)}
    with pytest.raises(ValueError, match=r"mask_ratio must lie in \[0, 1\)"):
        PatchMask(patchers, 1.0)
    with pytest.raises(ValueError, match='mode must be "interval" or "patch"'):
        PatchMask(patchers, mode="random")
    with pytest.raises(ValueError, match="No patcher for the kind 'uv'"):
        PatchMask(patchers)({"uv": torch.rand(1, 3)})
