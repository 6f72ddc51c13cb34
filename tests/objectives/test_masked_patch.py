"""The reconstruction loss. Its published numbers are tested with SpecFormer."""

import pytest
import torch

from molspectra.objectives import MaskedPatchLoss
from molspectra.spectra import PatchMask, SpectrumPatcher


def patches(dtype=torch.float64):
    return {"ir": torch.randn(3, 6, 4, dtype=dtype), "uv_vis": torch.randn(3, 2, 5, dtype=dtype)}


def test_against_a_loop():
    predicted, target = patches(), patches()
    masked = {kind: torch.rand(p.shape) < 0.4 for kind, p in predicted.items()}
    expected = 0.0
    for kind in masked:
        errors = [(predicted[kind][tuple(i)] - target[kind][tuple(i)]) ** 2 for i in masked[kind].nonzero().tolist()]
        expected += sum(errors) / len(errors)
    torch.testing.assert_close(MaskedPatchLoss()(predicted, target, masked), expected)


def test_a_mask_over_patches_means_all_their_samples():
    predicted, target = patches(), patches()
    over_patches = {kind: torch.rand(p.shape[:2]) < 0.5 for kind, p in predicted.items()}
    over_samples = {kind: mask.unsqueeze(-1).expand_as(predicted[kind]) for kind, mask in over_patches.items()}
    loss = MaskedPatchLoss()
    torch.testing.assert_close(loss(predicted, target, over_patches), loss(predicted, target, over_samples))


def test_nothing_hidden_is_zero_with_zero_gradient():
    predicted = {kind: p.requires_grad_() for kind, p in patches().items()}
    masked = {kind: torch.zeros(p.shape, dtype=torch.bool) for kind, p in predicted.items()}
    loss = MaskedPatchLoss()(predicted, patches(), masked)
    loss.backward()
    assert loss == 0
    assert all((p.grad == 0).all() for p in predicted.values())


def test_only_hidden_samples_matter():
    predicted, target = patches(), patches()
    masked = {"ir": torch.rand(3, 6, 4) < 0.4}
    loss = MaskedPatchLoss()(predicted, target, masked)
    predicted["ir"] = torch.where(masked["ir"], predicted["ir"], 1e6)
    predicted["uv_vis"] += 1e6
    torch.testing.assert_close(MaskedPatchLoss()(predicted, target, masked), loss)


def test_no_masks_is_refused():
    with pytest.raises(ValueError, match="masked is empty"):
        MaskedPatchLoss()(patches(), patches(), {})


@pytest.mark.parametrize(("length", "patch_len", "stride"), [(601, 20, 10), (3501, 50, 25), (100, 7, 3), (50, 50, 9)])
@pytest.mark.parametrize("given", [True, False])
def test_masks_over_samples_are_cut_as_the_patches_are(length, patch_len, stride, given):
    patcher = SpectrumPatcher(length, patch_len, stride)
    spectra = torch.randn(3, length, dtype=torch.float64)
    target, predicted = patcher(spectra), torch.randn(3, patcher.num_patches, patch_len, dtype=torch.float64)
    masked = PatchMask({"ir": patcher}, 0.3)({"ir": spectra})["ir"]
    samples = torch.stack([masked[:, i * stride : i * stride + patch_len] for i in range(patcher.num_patches)], dim=1)
    expected = (predicted - target)[samples].square().mean()
    loss = MaskedPatchLoss({"ir": patcher} if given else None)
    torch.testing.assert_close(loss({"ir": predicted}, {"ir": target}, {"ir": masked}), expected)


def test_masks_over_samples_that_fit_several_strides():
    patcher = SpectrumPatcher(60, 20, 10)  # five patches, as with a stride of 9
    spectra = torch.randn(2, 60)
    target, masked = {"ir": patcher(spectra)}, {"ir": torch.rand(2, 60) < 0.3}
    with pytest.raises(ValueError, match=r"every stride from 9 to 10. Make MaskedPatchLoss\(specformer.patchers\)"):
        MaskedPatchLoss()(target, target, masked)
    assert MaskedPatchLoss({"ir": patcher})(target, target, masked) == 0


@pytest.mark.parametrize("shape", [(3, 3), (2, 6), (3, 6, 5), (3,)])
def test_masks_of_another_shape_are_refused(shape):
    target = {"ir": torch.zeros(3, 6, 4)}
    with pytest.raises(
        ValueError, match=r"masked\['ir'\] must have shape \(B, L\) over samples, \(3, 6\) over patches"
    ):
        MaskedPatchLoss()(target, target, {"ir": torch.zeros(shape, dtype=torch.bool)})


def test_masks_of_a_kind_without_patches_are_refused():
    with pytest.raises(ValueError, match=r"masked has the kinds \['raman'\].*predicted or target have no patches"):
        MaskedPatchLoss()(patches(), patches(), {"raman": torch.zeros(3, 6, dtype=torch.bool)})
