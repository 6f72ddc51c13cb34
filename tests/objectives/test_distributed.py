"""Two real processes (gloo) against one: losses, gradients and statistics of the whole batch."""

import os
import socket

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.objectives import InfoNCELoss, TargetNormalizer

WORLD_SIZE = 2


def run(worker, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    processes = [
        context.Process(target=_start, args=(rank, port, worker, arguments, results)) for rank in range(WORLD_SIZE)
    ]
    for process in processes:
        process.start()
    outcomes = [results.get() for _ in processes]
    for process in processes:
        process.join()
    failures = [outcome for outcome in outcomes if isinstance(outcome[1], str)]
    assert not failures, failures
    return [outcome for _, outcome in sorted(outcomes)]


def _start(rank, port, worker, arguments, results):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    try:
        distributed.init_process_group("gloo", rank=rank, world_size=WORLD_SIZE)
        outcome = worker(rank, *arguments)
        distributed.destroy_process_group()
    except Exception as error:
        outcome = repr(error)
    results.put((rank, outcome))


def contrast(rank, symmetric, some_invalid):
    """Loss and gradient of this process's rows, as plain lists."""
    z, valid = rows(some_invalid)
    mine = slice(3 * rank, 3 * rank + 3)
    z = z[:, mine].clone().requires_grad_()
    loss = InfoNCELoss(symmetric=symmetric, gather_distributed=True)(z[0], z[1], valid[mine])
    loss.backward()
    return loss.item(), z.grad.tolist()


def rows(some_invalid):
    z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return z, torch.tensor([True, not some_invalid, not some_invalid, True, True, True])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("some_invalid", [True, False])
def test_gathered_contrast_equals_the_large_batch(symmetric, some_invalid):
    z, valid = rows(some_invalid)
    z.requires_grad_()
    expected = InfoNCELoss(symmetric=symmetric)(z[0], z[1], valid)
    expected.backward()
    results = run(contrast, symmetric, some_invalid)
    assert sum(loss for loss, _ in results) / WORLD_SIZE == pytest.approx(expected.item(), abs=1e-12)
    # Averaging over processes, as DistributedDataParallel does, gives the gradient of the large batch.
    gathered = torch.cat([torch.tensor(grad, dtype=torch.float64) for _, grad in results], dim=1) / WORLD_SIZE
    torch.testing.assert_close(gathered, z.grad, rtol=1e-10, atol=1e-12)


def normalize(rank):
    normalizer = TargetNormalizer(as_released=True)
    for targets in batches():
        normalized = normalizer(targets[5 * rank : 5 * rank + 5])
    return normalized.tolist(), normalizer.count.item(), normalizer.mean.tolist()


def batches():
    return torch.randn(3, 10, 3, generator=torch.Generator().manual_seed(1)) * 0.04 + 0.01


def test_target_statistics_are_those_of_all_processes():
    alone = TargetNormalizer(as_released=True)
    for targets in batches():
        expected = alone(targets)
    results = run(normalize)
    torch.testing.assert_close(torch.cat([torch.tensor(normalized) for normalized, _, _ in results]), expected)
    for _, count, mean in results:
        assert count == 30
        torch.testing.assert_close(torch.tensor(mean, dtype=torch.float64), alone.mean)


class EncoderAndMethod(nn.Module):
    """What DistributedDataParallel wraps: one module whose forward gives the loss."""

    def __init__(self, absent: str | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        lengths = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}
        specformer = ms.spectra.SpecFormer(lengths, 200, 200, 16, 1, 4, 16, norm="layer")
        contrast = InfoNCELoss(gather_distributed=True)
        self.encoder = ms.encoders.EquivariantTransformer(16, num_layers=1, num_heads=4, num_rbf=8)
        self.method = ms.methods.MolSpectra(ms.methods.Coord(16), specformer, contrast=contrast)
        self.head = ms.heads.ScalarHead(16)
        self.absent = absent

    def forward(self, batch: Batch) -> torch.Tensor:
        if self.absent:
            del batch[self.absent]
        gap = self.head(self.encoder(batch.z, batch.pos, batch.batch), batch=batch.batch)
        return self.method(self.encoder, batch)["loss"] + gap.square().mean()


def train_in_parallel(rank, absent):
    module = DistributedDataParallel(EncoderAndMethod(absent))
    molecules = ms.data.MiniSpectra("train")[4 * rank : 4 * rank + 4]
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    for _ in range(2):  # the second step fails where the first has left a parameter without a gradient
        optimizer.zero_grad()
        module(Batch.from_data_list(list(molecules))).backward()
        optimizer.step()
    return [parameter.detach().double().sum().item() for parameter in module.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("absent", [None, "raman"])
def test_methods_and_heads_train_under_ddp_and_processes_agree(absent):
    first, second = run(train_in_parallel, absent)
    assert first == second
