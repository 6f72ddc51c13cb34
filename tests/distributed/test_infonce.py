"""The contrast with the negatives of all processes, on unequal batches."""

import pytest
import torch

from molspectra.distributed import rank as rank_of
from molspectra.distributed import world_size as number_of
from molspectra.objectives import InfoNCELoss

SIZES = {2: (5, 2), 4: (3, 0, 1, 3)}  # a process may have no rows at all
CASES = {
    "both directions": {},
    "one direction": {"symmetric": False},
    "as released": {"as_released": True},
    "dot products": {"similarity": "dot", "temperature": 1.0},
    "trained temperature": {"learnable_temperature": True},
    "chunks": {"chunk_size": 2, "learnable_temperature": True},
}


def rows(some_invalid):
    z = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return z, torch.tensor([True, not some_invalid, not some_invalid, True, True, not some_invalid, not some_invalid])


def contrast(rank, case, some_invalid):
    """Loss, and its gradients by the rows of this process and by the temperature."""
    z, valid = rows(some_invalid)
    sizes = SIZES[number_of()]
    mine = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    z = z[:, mine].clone().requires_grad_()
    objective = InfoNCELoss(gather_distributed=True, **CASES[case]).double()
    loss = objective(z[0], z[1], valid[mine])
    loss.backward()
    return loss.item(), z.grad, *(parameter.grad for parameter in objective.parameters())


@pytest.mark.parametrize("world_size", SIZES)
@pytest.mark.parametrize("some_invalid", [False, True], ids=["", "some invalid"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("float32_weights")
def test_equals_the_large_batch(processes, world_size, case, some_invalid):
    z, valid = rows(some_invalid)
    z.requires_grad_()
    objective = InfoNCELoss(**CASES[case]).double()
    expected = objective(z[0], z[1], valid)
    expected.backward()
    losses, grads, *of_temperature = zip(*processes.run(world_size, contrast, case, some_invalid), strict=True)
    assert sum(losses) / world_size == pytest.approx(expected.item(), abs=1e-12)
    # Averaged over processes, as DistributedDataParallel does.
    torch.testing.assert_close(torch.cat(grads, dim=1) / world_size, z.grad, rtol=1e-10, atol=1e-12)
    for grad, parameter in zip(of_temperature, objective.parameters(), strict=True):
        torch.testing.assert_close(sum(grad) / world_size, parameter.grad)


def evaluate(rank):
    """Nothing is gathered in evaluation mode, or by a single process."""
    if rank == 0:
        z, _ = rows(False)
        objective = InfoNCELoss(gather_distributed=True).eval()
        torch.testing.assert_close(objective(*z), InfoNCELoss().eval()(*z))
    assert rank_of() == rank


def test_one_process_evaluates_alone(processes):
    processes.run(2, evaluate)
