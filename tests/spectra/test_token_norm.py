"""SpecFormer's batch normalization, as the tools of torch for batch norms see it."""

import copy

import pytest
import torch
from torch import nn
from torch.func import replace_all_batch_norm_modules_
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, update_bn

import molspectra as ms
from molspectra.spectra.token_norm import TokenBatchNorm

B, N, C = 5, 4, 3


def draw():
    return 2 + 3 * torch.randn(B, N, C, dtype=torch.float64)


def twins(momentum):
    """The norm, and that of torch, with the same random weights."""
    ours, torchs = TokenBatchNorm(C, momentum=momentum).double(), nn.BatchNorm1d(C, momentum=momentum).double()
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def some_valid():
    valid = torch.rand(B, N) < 0.6
    valid[0, 0], valid[0, 1] = True, False
    return valid


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
@pytest.mark.parametrize("missing", [False, True])
def test_equals_batch_norm_of_the_valid_tokens(momentum, missing):
    ours, torchs = twins(momentum)
    for _ in range(3):
        tokens, valid = draw(), some_valid() if missing else torch.ones(B, N, dtype=torch.bool)
        torch.testing.assert_close(ours(tokens, valid)[valid], torchs(tokens[valid]))
    torch.testing.assert_close(ours.state_dict(), torchs.state_dict())
    tokens = draw()
    torch.testing.assert_close(ours.eval()(tokens, valid)[valid], torchs.eval()(tokens[valid]))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_batch_without_valid_tokens_is_not_counted(momentum):
    ours, _ = twins(momentum)
    ours(draw(), some_valid())
    before = copy.deepcopy(ours.state_dict())
    ours(draw(), torch.zeros(B, N, dtype=torch.bool))
    torch.testing.assert_close(ours.state_dict(), before)


@pytest.mark.parametrize("training", [True, False])
def test_without_tracked_statistics(training):
    ours, torchs = twins(0.1)
    for norm in (ours, torchs):
        replace_all_batch_norm_modules_(norm).train(training)
    for valid in (some_valid(), torch.ones(B, N, dtype=torch.bool)):
        tokens = draw()
        torch.testing.assert_close(ours(tokens, valid)[valid], torchs(tokens[valid]))
    assert ours.running_mean is None


def make_specformer():
    return ms.spectra.SpecFormer({"ir": 40, "uv_vis": 30}, 10, 5, 8, 2, 2, out_channels=4)


def loader(count=4):
    batches = [{"ir": torch.rand(6, 40), "uv_vis": torch.rand(6, 30)} for _ in range(count)]
    batches[1]["ir"][2] = torch.nan
    return batches


def test_update_bn_averages_the_statistics_of_all_batches():
    specformer, batches = make_specformer(), loader()
    update_bn(batches, specformer)
    # The first norm sees the same tokens in any order: its running mean is the mean over batches.
    means = []
    for batch in batches:
        once = copy.deepcopy(specformer).train()
        for norm in once.modules():
            if isinstance(norm, _BatchNorm):
                norm.reset_running_stats()
                norm.momentum = 1.0
        once(batch)
        means.append(once.layers[0].attention_norm.running_mean)
    norm = specformer.layers[0].attention_norm
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    assert norm.momentum == 0.1
    assert int(norm.num_batches_tracked) == len(batches)


def test_update_bn_of_an_averaged_model():
    specformer, batches = make_specformer(), loader()
    averaged = AveragedModel(specformer)
    update_bn(batches, averaged)
    for name, buffer in averaged.module.named_buffers():
        if "running" in name:
            assert not torch.equal(buffer, specformer.get_buffer(name)), name


def test_frozen_norms_keep_their_statistics():
    specformer = make_specformer()
    norms = [module for module in specformer.modules() if isinstance(module, _BatchNorm)]
    assert len(norms) == 4
    for norm in norms:
        norm.eval().requires_grad_(False)
    specformer(loader()[0]).embedding.sum().backward()
    for norm in norms:
        assert int(norm.num_batches_tracked) == 0
        assert norm.weight.grad is None


@pytest.mark.parametrize("training", [True, False])
def test_converted_to_sync_batch_norm(training):
    specformer = make_specformer().double().train(training)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(specformer))
    assert not any(isinstance(module, TokenBatchNorm) for module in converted.modules())
    batch = {kind: spectra.double() for kind, spectra in loader()[1].items()}
    torch.testing.assert_close(converted(batch).embedding, specformer(batch).embedding)
    torch.testing.assert_close(converted.state_dict(), specformer.state_dict())


def test_statistics_of_targets_can_be_reset():
    normalizer = ms.objectives.TargetNormalizer()
    first = normalizer(torch.ones(4, 3))
    normalizer(torch.full((4, 3), 5.0))
    normalizer.reset_running_stats()
    torch.testing.assert_close(normalizer(torch.ones(4, 3)), first)
