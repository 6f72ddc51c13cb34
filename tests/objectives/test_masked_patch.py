"""The reconstruction loss. Its published numbers are tested with SpecFormer."""

import pytest
import torch

from molspectra.objectives import MaskedPatchLoss


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
