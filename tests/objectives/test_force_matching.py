"""3D-EMGP's two losses, against loops, published numbers and each other."""

import math

import pytest
import torch
from torch.testing import assert_close

from molspectra.objectives.force_matching import ForceMatchingLoss
from molspectra.objectives.noise_scale import NoiseScaleLoss

BATCH = torch.tensor([0, 0, 0, 1, 2, 2])


def vectors():
    return torch.randn(2, 6, 3, dtype=torch.float64)


def test_spelled_out():
    predicted, target = vectors()
    of_atom = [sum((predicted[i, a] - target[i, a]) ** 2 for a in range(3)) for i in range(6)]
    assert_close(ForceMatchingLoss()(predicted, target, BATCH), sum(of_atom) / 6)
    per_molecule = [sum(of_atom[:3]), of_atom[3], of_atom[4] + of_atom[5]]
    for count in (None, 3):
        assert_close(ForceMatchingLoss("sum")(predicted, target, BATCH, count), sum(per_molecule) / 3)
    assert_close(ForceMatchingLoss("sum")(predicted, target), sum(of_atom))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_published_losses(load_fixture, steps, dtype):
    outputs, batch = load_fixture("emgp/outputs.safetensors"), load_fixture("emgp/inputs.safetensors")["batch"]
    levels = load_fixture("emgp/inputs.safetensors")["noise_level"]
    expected = {name: outputs[f"{dtype}.forward.steps{steps}.{name}"] for name in ("loss_denoise", "loss_inp")}
    predicted, target, logits = (
        outputs[f"{dtype}.forward.steps{steps}.{name}"] for name in ("pred_noise", "target", "inp_logits")
    )
    tolerance = {"rtol": 1e-6 if dtype == "f32" else 1e-12, "atol": 0}
    assert_close(ForceMatchingLoss("sum")(predicted, target, batch), expected["loss_denoise"], **tolerance)
    assert_close(NoiseScaleLoss()(logits, levels), expected["loss_inp"], **tolerance)


def test_molecules_of_one_size_differ_by_it():
    predicted, target = vectors()
    batch = torch.tensor([0, 0, 1, 1, 2, 2])
    assert_close(ForceMatchingLoss("sum")(predicted, target, batch), 2 * ForceMatchingLoss()(predicted, target, batch))


def test_noise_scale_spelled_out():
    logits, level = torch.randn(4, 7, dtype=torch.float64), torch.tensor([0, 6, 2, 2])
    expected = -sum(math.log(logits[i].softmax(0)[level[i]].item()) for i in range(4)) / 4
    assert NoiseScaleLoss()(logits, level).item() == pytest.approx(expected, rel=1e-12)


def test_single_precision_under_autocast():
    predicted, target = (each.float() for each in vectors())
    logits, level = torch.randn(4, 7), torch.tensor([0, 6, 2, 2])
    half = predicted.bfloat16(), logits.bfloat16()
    expected = ForceMatchingLoss()(half[0].float(), target), NoiseScaleLoss()(half[1].float(), level)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = ForceMatchingLoss()(half[0], target), NoiseScaleLoss()(half[1], level)
    assert all(loss.dtype == torch.float32 for loss in actual)
    assert_close(actual, expected)


@pytest.mark.usefixtures("no_shape_checks")
def test_bad_reduction():
    with pytest.raises(ValueError, match='reduce must be "sum" or "mean"; got \'none\''):
        ForceMatchingLoss("none")
