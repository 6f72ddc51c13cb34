"""Collectives of `molspectra.distributed`, against one process with all data."""

import pytest
import torch

from molspectra import distributed
from molspectra.objectives import (
    DenoisingLoss,
    ForceMatchingLoss,
    MaskedPatchLoss,
    NoiseScaleLoss,
    SliDeLoss,
    SpectrumLoss,
    TargetNormalizer,
)
from molspectra.spectra.token_norm import TokenBatchNorm

SIZES = {2: (5, 2), 4: (3, 1, 1, 2)}
worlds = pytest.mark.parametrize("world_size", SIZES)


def draw(*size, seed=0):
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mine(rank):
    """Rows of this process, of 7."""
    sizes = SIZES[distributed.world_size()]
    return slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))


def gather(rank):
    rows = draw(7, 3)[mine(rank)].requires_grad_()
    everything, first = distributed.gather_rows(rows)
    assert first == mine(rank).start
    torch.testing.assert_close(everything, draw(7, 3), rtol=0, atol=0)
    # Every process weights the rows differently. The gradient of a row sums over all processes.
    (grad,) = torch.autograd.grad((everything * draw(7, 3, seed=rank)).sum(), rows)
    expected = sum(draw(7, 3, seed=other) for other in range(distributed.world_size()))
    torch.testing.assert_close(grad, expected[mine(rank)])
    # Each process has as many rows as its rank, and the first has none.
    everything, first = distributed.gather_rows(torch.full((rank, 2), rank))
    assert everything[:, 0].tolist() == [other for other in range(distributed.world_size()) for _ in range(other)]
    assert first == sum(range(rank))


def second_derivatives(rank):
    rows = draw(2, 3, seed=rank).requires_grad_()
    everything, _ = distributed.gather_rows(rows)
    (grad,) = torch.autograd.grad(everything.pow(3).sum(), rows, create_graph=True)
    (second,) = torch.autograd.grad(grad.sum(), rows)
    torch.testing.assert_close(second, 6 * distributed.world_size() * rows.detach())
    total = distributed.sum_over_processes(rows)
    (grad,) = torch.autograd.grad(total.square().sum(), rows, create_graph=True)
    torch.testing.assert_close(
        torch.autograd.grad(grad.sum(), rows)[0], torch.full_like(rows, 2.0 * distributed.world_size() ** 2)
    )


def alone_or_in_pairs(rank):
    assert distributed.world_size() == 4
    with distributed.local_only():
        assert (distributed.world_size(), distributed.rank()) == (1, 0)
        assert distributed.global_mean(torch.tensor(6.0), rank + 1) == 6 / (rank + 1)
        with distributed.use_group(None):  # the default group, as in torch
            assert (distributed.world_size(), distributed.rank()) == (4, rank)
    pairs = [torch.distributed.new_group(pair) for pair in ([0, 1], [2, 3])]
    with distributed.use_group(pairs[rank // 2]):
        assert (distributed.world_size(), distributed.rank()) == (2, rank % 2)
        everything, first = distributed.gather_rows(torch.full((rank + 1,), float(rank)).requires_grad_())
        assert everything.shape == (2 * (rank // 2) * 2 + 3,)
        assert first == (0 if rank % 2 == 0 else rank)
    everything.sum().backward()  # outside the context that chose the group
    assert distributed.rank() == rank


@pytest.mark.parametrize("function", [gather, second_derivatives, alone_or_in_pairs])
def test_collectives(processes, function):
    for world_size in (4,) if function is not gather else SIZES:
        processes.run(world_size, function)


def weight(values):
    return draw(values.shape[-1], seed=9)


def normalize(rank):
    """Statistics over three steps, and the normalised last batch."""
    norm = TokenBatchNorm(4).double()
    outputs = []
    for step in range(3):
        tokens, valid = draw(7, 5, 4, seed=step)[mine(rank)].requires_grad_(), (draw(7, 5, seed=step) > 0)[mine(rank)]
        if step == 1 and rank == 0:
            valid = torch.zeros_like(valid)  # this process has nothing to add
        out = torch.where(valid.unsqueeze(-1), norm(tokens, valid), 0.0)
        loss = distributed.world_size() * (out.pow(3) @ weight(out)).sum()
        outputs.append((out.detach(), *torch.autograd.grad(loss, [tokens, *norm.parameters()])))
    return outputs, {name: buffer.clone() for name, buffer in norm.named_buffers()}


@worlds
def test_batch_norm_is_that_of_the_whole_batch(processes, world_size):
    results = processes.run(world_size, normalize)
    norm = TokenBatchNorm(4).double()
    for step in range(3):
        tokens, valid = draw(7, 5, 4, seed=step).requires_grad_(), draw(7, 5, seed=step) > 0
        if step == 1:
            valid[: SIZES[world_size][0]] = False
        out = torch.where(valid.unsqueeze(-1), norm(tokens, valid), 0.0)
        grads = torch.autograd.grad((out.pow(3) @ weight(out)).sum(), [tokens, *norm.parameters()])
        parts = list(zip(*(outputs[step] for outputs, _ in results), strict=True))
        torch.testing.assert_close(torch.cat(parts[0]), out)
        # The gradients of all processes have been summed: W times the gradient, before averaging.
        torch.testing.assert_close(torch.cat(parts[1]) / world_size, grads[0])
        for part, grad in zip(parts[2:], grads[1:], strict=True):
            torch.testing.assert_close(sum(part) / world_size, grad)
    for _, buffers in results:
        for name, buffer in norm.named_buffers():
            torch.testing.assert_close(buffers[name], buffer)


def target_statistics(rank, as_released):
    normalizer = TargetNormalizer(as_released)
    for step in range(3):
        normalized = normalizer(0.04 * draw(7, 3, seed=step)[mine(rank)] + 0.01)
    return normalized, normalizer.state_dict()


@worlds
@pytest.mark.parametrize("as_released", [False, True])
def test_target_statistics_are_those_of_all_processes(processes, world_size, as_released):
    results = processes.run(world_size, target_statistics, as_released)
    with distributed.local_only():
        alone = TargetNormalizer(as_released)
        for step in range(3):
            expected = alone(0.04 * draw(7, 3, seed=step) + 0.01)
    torch.testing.assert_close(torch.cat([normalized for normalized, _ in results]), expected)
    for _, state in results:
        torch.testing.assert_close(state, alone.state_dict())


def spectra(seed):
    kinds = {"ir": draw(7, 6, seed=seed).abs(), "uv_vis": 1e3 * draw(7, 3, seed=seed + 1).abs()}
    kinds["ir"][5:] = torch.nan  # the last process has none
    kinds["uv_vis"][0] = torch.nan
    return kinds


def sliced(predicted, rows):
    """Each row is a molecule here, and every process draws the slices with the same generator."""
    loss = SliDeLoss("sliced", num_slices=1, normalize=False)
    molecules = torch.arange(predicted.shape[0])
    slices = draw(7, 3, seed=5)[rows].unsqueeze(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "normal_", lambda drawn, **_: drawn.copy_(slices))
        return loss(predicted, torch.zeros_like(predicted), molecules)


def masked_patches(predicted, rows):
    masked = {"ir": (draw(7, 1, 3, seed=6) > 0)[rows], "raman": torch.arange(7)[rows].reshape(-1, 1) < 1}
    kinds = {kind: predicted.unsqueeze(1) for kind in masked}
    return MaskedPatchLoss()(kinds, {kind: torch.zeros_like(of_kind) for kind, of_kind in kinds.items()}, masked)


def spectrum(predicted, rows):
    target = {kind: of_kind[rows] for kind, of_kind in spectra(3).items()}
    guess = {"ir": predicted.repeat(1, 2), "uv_vis": 1e3 * predicted}
    return SpectrumLoss()(guess, target)


LOSSES = {
    "denoising": lambda predicted, rows: DenoisingLoss()(predicted, draw(7, 3, seed=1)[rows]),
    "denoising, as released": lambda predicted, rows: DenoisingLoss(as_released=True)(
        predicted, draw(7, 3, seed=1)[rows]
    ),
    "forces": lambda predicted, rows: ForceMatchingLoss()(predicted, draw(7, 3, seed=1)[rows]),
    "forces, sum": lambda predicted, rows: ForceMatchingLoss("sum")(
        predicted, draw(7, 3, seed=1)[rows], num_molecules=predicted.shape[0]
    ),
    "noise scale": lambda predicted, rows: NoiseScaleLoss()(predicted, (torch.arange(7) % 3)[rows]),
    "slide": lambda predicted, rows: SliDeLoss()(predicted, draw(7, 3, seed=1)[rows]),
    "slide, sliced": sliced,
    "masked patches": masked_patches,
    "spectra": spectrum,
}


def losses(rank, name):
    """Loss, and its gradient by the rows of this process."""
    predicted = draw(7, 3)[mine(rank)].requires_grad_()
    loss = LOSSES[name](predicted, mine(rank))
    (grad,) = torch.autograd.grad(loss, predicted)
    return loss.item(), grad


@worlds
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_shares_of_the_loss_of_the_whole_batch(processes, world_size, name):
    results = processes.run(world_size, losses, name)
    predicted = draw(7, 3).requires_grad_()
    expected = LOSSES[name](predicted, slice(None))
    (grad,) = torch.autograd.grad(expected, predicted)
    assert sum(loss for loss, _ in results) / world_size == pytest.approx(expected.item(), rel=1e-10)
    torch.testing.assert_close(torch.cat([grad for _, grad in results]) / world_size, grad, rtol=1e-9, atol=1e-12)


def evaluate_alone(rank):
    """In evaluation mode one process computes losses while the others do other things."""
    if rank == 0:
        DenoisingLoss().eval()(draw(7, 3), draw(7, 3, seed=1))
        TokenBatchNorm(4).double().eval()(draw(7, 5, 4), torch.ones(7, 5, dtype=torch.bool))


def test_evaluation_waits_for_nobody(processes):
    processes.run(2, evaluate_alone)
