"""The denoising loss and its running normaliser."""

import pytest
import torch

from molspectra.objectives import DenoisingLoss, TargetNormalizer, WeightedSum


@pytest.fixture(scope="module")
def coord(load_fixture):
    return load_fixture("coord/coord.safetensors")


def test_released_normalizer(coord):
    normalizer = TargetNormalizer(as_released=True).eval()
    before = coord["norm.eval_before_any_training.in"]
    torch.testing.assert_close(normalizer(before), coord["norm.eval_before_any_training.out"])
    normalizer.train()
    for step in range(3):
        out = normalizer(coord[f"norm.train{step}.in"])
        torch.testing.assert_close(out, coord[f"norm.train{step}.out"], rtol=1e-5, atol=1e-5)
        after = {
            name: coord[f"norm.train{step}.after.{name}"].double()
            for name in ("acc_sum", "acc_squared_sum", "acc_count")
        }
        assert normalizer.count == after["acc_count"]
        torch.testing.assert_close(normalizer.mean * normalizer.count, after["acc_sum"], rtol=1e-5, atol=1e-7)
        squares = normalizer.squared_deviations + normalizer.count * normalizer.mean.square()
        torch.testing.assert_close(squares, after["acc_squared_sum"], rtol=1e-5, atol=1e-7)
    normalizer.eval()
    torch.testing.assert_close(normalizer(coord["norm.eval.in"]), coord["norm.eval.out"], rtol=1e-5, atol=1e-5)
    assert normalizer.count == coord["norm.eval.after.acc_count"]


def test_frads_published_normalizer_and_losses(conformers):
    """Three batches in training, one of them again in evaluation, and a single atom."""
    fixture = {name: torch.from_numpy(array) for name, array in conformers.file("frad/normalizer").items()}
    objective = DenoisingLoss(as_released=True)
    normalizer = TargetNormalizer(as_released=True)
    for batch in ("batch0", "batch1", "batch2"):
        target = fixture[f"{batch}.target"]
        torch.testing.assert_close(normalizer(target), fixture[f"{batch}.normalized_train"], rtol=0, atol=2e-5)
        torch.testing.assert_close(normalizer.mean.float(), fixture[f"{batch}.mean_after"], rtol=0, atol=1e-7)
        std = (normalizer.squared_deviations / normalizer.count).sqrt().float()
        torch.testing.assert_close(std, fixture[f"{batch}.std_after"], rtol=1e-5, atol=0)
        loss = objective(fixture[f"{batch}.pred"], target)
        torch.testing.assert_close(loss.double(), fixture[f"{batch}.loss"], rtol=3e-6, atol=0)
    normalizer.eval()
    again = normalizer(fixture["batch0.target"])
    torch.testing.assert_close(again, fixture["eval.batch0.normalized"], rtol=0, atol=2e-5)
    single = TargetNormalizer(as_released=True)(fixture["single.target"])
    torch.testing.assert_close(single, fixture["single.normalized_train"])


@pytest.mark.parametrize("as_released", [False, True])
def test_rows_that_are_not_finite_do_not_spoil_the_statistics(as_released):
    with_bad, without = TargetNormalizer(as_released), TargetNormalizer(as_released)
    target = torch.randn(6, 3)
    bad = target.clone()
    bad[2, 1], bad[4] = torch.nan, torch.inf
    kept = target[[0, 1, 3, 5]]
    normalized = with_bad(bad)
    torch.testing.assert_close(normalized[[0, 1, 3, 5]], without(kept))
    assert not normalized[2].isfinite().all()
    torch.testing.assert_close(with_bad(target), without(target))


def test_constant_rows_are_finite_where_the_release_gives_nan(coord):
    assert coord["norm.constant_rows.out"].isnan().any()
    for as_released in (True, False):
        assert TargetNormalizer(as_released)(coord["norm.constant_rows.in"]).isfinite().all()
    assert (TargetNormalizer()(torch.zeros(4, 3)) == 0).all()


def test_released_loss(coord):
    loss = DenoisingLoss(normalize=False)
    value = loss(coord["loss.noise_pred"], coord["loss.normalized_target"])
    torch.testing.assert_close(value, coord["loss.mse_train_val"].reshape(()))


def test_default_brings_targets_to_unit_scale_and_commutes_with_rotations():
    targets = [0.04 * torch.randn(size, 3, dtype=torch.float64) for size in (5, 40, 1, 300)]
    normalizer = TargetNormalizer()
    out = [normalizer(target) for target in targets]
    rms = torch.cat(targets).square().mean().sqrt()
    torch.testing.assert_close(out[-1], targets[-1] / rms)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    turned = TargetNormalizer()
    for target, straight in zip(targets, out, strict=True):
        torch.testing.assert_close(turned(target @ turn), straight @ turn)


def test_counts_do_not_lose_precision():
    """A float32 count would stop growing at 2²⁴ atoms."""
    normalizer = TargetNormalizer()
    normalizer.count.fill_(2.0**24)
    normalizer(torch.ones(1, 3))
    assert normalizer.count == 2**24 + 1


def test_statistics_stay_float64_when_the_module_is_cast():
    loss = DenoisingLoss()
    loss.normalizer.count.fill_(2.0**24 + 1)
    for cast in (loss.float, loss.half, lambda: loss.to(torch.bfloat16)):
        cast()
        assert all(buffer.dtype == torch.float64 for buffer in loss.normalizer.buffers())
        assert loss.normalizer.count == 2**24 + 1


def test_large_offsets_do_not_cancel():
    targets = 1e4 + torch.randn(1000, 3, dtype=torch.float64)
    normalizer = TargetNormalizer(as_released=True)
    for part in targets.split(100):
        out = normalizer(part)
    expected = (targets[-100:] - targets.mean(0)) / targets.std(0, correction=0)
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)


def test_evaluation_leaves_the_statistics_alone():
    loss = DenoisingLoss()
    loss(torch.zeros(5, 3), torch.randn(5, 3))
    loss.eval()
    before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    loss(torch.zeros(5, 3), torch.randn(5, 3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in loss.state_dict().items())


def test_no_gradient_flows_into_the_target():
    target = torch.randn(5, 3, requires_grad=True)
    predicted = torch.randn(5, 3, requires_grad=True)
    DenoisingLoss()(predicted, target).backward()
    assert target.grad is None
    assert predicted.grad.isfinite().all()


def test_weighted_sum():
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(torch.nan)}
    total = WeightedSum({"a": 3.0, "b": 0.0})(losses)
    assert total["loss"] == 6
    assert total["a"] == 2
    assert total["b"].isnan()
    with pytest.raises(ValueError, match=r"losses must be named \['a'\]; got \['a', 'b'\]"):
        WeightedSum({"a": 1.0})(losses)
