"""Losses, statistics and negatives of a batch that is spread over several processes.

DistributedDataParallel averages the gradients of all processes. This average is the gradient of the whole batch only if
the loss of each process is its share of the loss of the whole batch. The mean over a process's own atoms is not such a
share, because processes hold unequal numbers of atoms. *In training mode*, therefore:

* Every objective of this library divides by the count of all processes (:func:`global_mean`).
* Running scales of targets and SpecFormer's batch normalisation use the statistics of all processes.
* :class:`~molspectra.objectives.InfoNCELoss` takes its negatives from all processes if asked to.

The gradients then equal those of one process with the whole batch, up to rounding. The loss that a process returns is
its share: the mean over processes is the loss of the batch.

No switch is needed. All of this happens where `torch.distributed` is initialised with more than one process, and every
process must then take every training step. Evaluation mode exchanges nothing, so one process may evaluate alone. Where
the batch is spread over some of the processes only, name them with :func:`use_group`. Where a process trains a model of
its own, use :func:`local_only`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

__all__ = [
    "gather_rows",
    "global_mean",
    "local_only",
    "merge_moments",
    "rank",
    "sum_over_processes",
    "use_group",
    "world_size",
]

_LOCAL = object()
# A process group, None for the default group (as everywhere in torch.distributed), or _LOCAL for this process alone.
_group: Any = None


@contextmanager
def use_group(group: "distributed.ProcessGroup | None") -> Iterator[None]:
    """Count over the processes of a group within this context, for meshes of which one dimension spreads the batch.

    Args:
        group: The processes that share the batch, or None for the default group, as in `torch.distributed`.
    """
    with _counting_over(group):
        yield


@contextmanager
def local_only() -> Iterator[None]:
    """Count over this process alone within this context, for processes that train models of their own.

    Example:
        >>> with ms.distributed.local_only():
        ...     ms.distributed.world_size()
        1
    """
    with _counting_over(_LOCAL):
        yield


@contextmanager
def _counting_over(group: Any) -> Iterator[None]:
    global _group
    before, _group = _group, group
    try:
        yield
    finally:
        _group = before


def world_size() -> int:
    """Return the number of processes that share the batch: 1 outside `torch.distributed`."""
    if _group is _LOCAL or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size(_group)


def rank() -> int:
    """Return the rank of this process among those that share the batch: 0 outside `torch.distributed`."""
    return 0 if world_size() == 1 else distributed.get_rank(_group)


def global_mean(total: Tensor, count: Tensor | int, synchronize: bool = True) -> Tensor:
    """Compute this process's share of a mean over all processes: W · total / Σ count, for W processes.

    The mean of the shares over processes, as DistributedDataParallel takes it of gradients, is Σ total / Σ count. The
    cost is one collective, of the counts alone, and the host does not wait for the device. If all counts are 0, the
    share is 0.

    Args:
        total: Sum over the entries that this process holds, of any shape, for several means at once.
        count: Number of these entries: a tensor of the same shape, or one number.
        synchronize: Count over all processes, rather than return total / count. Modules pass their `training`.

    Example:
        >>> errors = torch.tensor([1.0, 2.0, 6.0])
        >>> ms.distributed.global_mean(errors.sum(), 3)
        tensor(3.)
    """
    if not synchronize or world_size() == 1:
        return total / (count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1))
    if not isinstance(count, Tensor):
        count = torch.full_like(total, count, dtype=torch.float64)
    # Only counts are exchanged, in float64: float32 counts exactly up to 2²⁴ only. Sums stay local, so that the
    # gradient of `total` needs no collective of its own.
    share = world_size() / sum_over_processes(count.double()).clamp(min=1)
    return total * share.to(total.dtype)


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum tensors of one shape over processes, differentiably: the sum of each process is a function of all values."""
    return values if world_size() == 1 else _Sum.apply(values, _group)


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Concatenate the rows (B, ...) of all processes in order of rank, with gradients. B may differ and may be 0.

    The backward sums the gradients that all processes have for a row and returns the sum to the owner of the row.

    The host must know the number of rows of each process. These numbers are exchanged through the CPU backend of the
    group. A group without one, as `init_process_group("nccl")` makes it, exchanges them through the device, and the
    host waits for the device. `init_process_group()` without a backend makes both.

    Returns:
        The rows of all processes, and the index of this process's first row.
    """
    if world_size() == 1:
        return rows, 0
    sizes = _sizes(rows)
    return _Gather.apply(rows, sizes, _group), sum(sizes[: rank()])


def merge_moments(count: Tensor, mean: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Merge the moments of all processes into those of the whole batch, with gradients and in one collective.

    Sums of squared deviations are merged (Chan et al. 1983). Sums of squares would lose digits by cancellation.

    Args:
        count: Number of samples of this process, a scalar, which may be 0.
        mean: Their mean, (C,).
        squares: Σ (x - mean)², (C,).

    Returns:
        Count, mean and sum of squared deviations over all processes.
    """
    if world_size() == 1:
        return count, mean, squares
    channels = mean.shape[0]
    moments = torch.cat([count.to(mean.dtype).reshape(1), mean, squares]).unsqueeze(0)
    counts, means, each = _Gather.apply(moments, [1] * world_size(), _group).split([1, channels, channels], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(dim=0) / total.clamp(min=1)
    # Within each process, plus between the means of processes.
    return total, mean, (each + counts * (means - mean).square()).sum(dim=0)


def _sizes(rows: Tensor) -> list[int]:
    device = "cpu" if "cpu:" in distributed.get_backend_config(_group) else rows.device
    own = torch.full((1,), rows.shape[0], device=device)
    return torch.cat(_gather_equal(own, world_size(), _group)).tolist()


def _gather_equal(tensor: Tensor, number: int, group: Any) -> list[Tensor]:
    gathered = [torch.empty_like(tensor) for _ in range(number)]
    distributed.all_gather(gathered, tensor, group=group)
    return gathered


# Both functions keep their group, because a backward may run outside the context that chose it. Both backwards consist
# of differentiable functions, so that second derivatives are right.
class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Any) -> Tensor:
        ctx.group = group
        values = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(values, group=group)
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(grad, ctx.group), None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int], group: Any) -> Tensor:
        own = distributed.get_rank(group)
        ctx.group, ctx.rows = group, slice(sum(sizes[:own]), sum(sizes[: own + 1]))
        # Backends gather tensors of one size only: pad to the largest, and cut the padding off afterwards.
        largest = max(sizes)
        padded = rows.new_zeros((largest, *rows.shape[1:]))
        padded[: rows.shape[0]] = rows
        gathered = _gather_equal(padded, len(sizes), group)
        return torch.cat([of_process[:size] for of_process, size in zip(gathered, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Sum.apply(grad, ctx.group)[ctx.rows], None, None


def __dir__() -> list[str]:
    return __all__
