"""What makes a batch that is spread over processes count as one.

DistributedDataParallel averages the gradients of all processes. That is the gradient of the whole batch only if each
process's loss is its share of the whole batch's, which the mean over its own atoms is not: processes hold unequal
numbers of them. So, *in training mode*, every objective of this library divides by what all processes hold
(:func:`global_mean`), running scales of targets and SpecFormer's batch normalisation are those of all processes, and
:class:`~molspectra.objectives.InfoNCELoss` takes its negatives from all if asked to. Then the gradients are those of
one process with the whole batch, up to rounding. What a process returns as a loss is its share: the mean over processes
is the loss of the batch.

This needs no switch. It happens where `torch.distributed` is initialised with more than one process, and every process
has then to take every training step; in evaluation mode nothing is exchanged, and one process may evaluate alone. Where
processes are not, or not all, parts of one batch, say which are with :func:`use_group`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

_ALONE = object()
# A group; None for the default one, as everywhere in torch.distributed; or this process alone.
_group: Any = None


@contextmanager
def use_group(group: "distributed.ProcessGroup | None") -> Iterator[None]:
    """Within this context count over the processes of `group` only, or with None over this process alone.

    For processes that train models of their own, and for meshes of which only one dimension spreads the batch.

    Example:
        >>> with ms.distributed.use_group(None):
        ...     ms.distributed.world_size()
        1
    """
    global _group
    before, _group = _group, _ALONE if group is None else group
    try:
        yield
    finally:
        _group = before


def world_size() -> int:
    """Number of processes that the batch is spread over, 1 outside `torch.distributed`."""
    if _group is _ALONE or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size(_group)


def rank() -> int:
    """Index of this process among them, 0 outside `torch.distributed`."""
    return 0 if world_size() == 1 else distributed.get_rank(_group)


def global_mean(total: Tensor, count: Tensor | int, synchronize: bool = True) -> Tensor:
    """This process's share of a mean over what all processes hold: W · total / Σ count, for W processes.

    The mean of it over the processes, which DistributedDataParallel takes of the gradients, is Σ total / Σ count. One
    collective, of counts alone and without waiting for the device. A count of 0 everywhere gives 0.

    Args:
        total: Sum over what this process holds; of any shape, for several means at once.
        count: How many that are, of the same shape, or a number.
        synchronize: Whether to count over all processes; otherwise this is total / count. Modules pass their
            `training`.

    Example:
        >>> errors = torch.tensor([1.0, 2.0, 6.0])
        >>> ms.distributed.global_mean(errors.sum(), 3)
        tensor(3.)
    """
    if not synchronize or world_size() == 1:
        return total / (count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1))
    if not isinstance(count, Tensor):
        count = torch.full_like(total, count, dtype=torch.float64)
    share = world_size() / sum_over_processes(count.double()).clamp(min=1)
    return total * share.to(total.dtype)


def sum_over_processes(values: Tensor) -> Tensor:
    """Σ over processes of tensors of one shape, with gradients: each process's sum is a function of all values."""
    return values if world_size() == 1 else _Sum.apply(values, _group)


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Concatenate (B, ...) of all processes in order of rank, with gradients; B may differ, and be 0.

    The backward sums the gradients that the processes have for a row and returns them to the process it came from.

    How many rows there are has to be known on the host. It is exchanged through the group's backend for the CPU; of a
    group that has none (`init_process_group("nccl")`) through the device, whose work so far is then waited for. Without
    a backend, `init_process_group()` makes both.

    Returns:
        The rows of all processes, and the index of this process's first.
    """
    if world_size() == 1:
        return rows, 0
    sizes = _sizes(rows)
    return _Gather.apply(rows, sizes, _group), sum(sizes[: rank()])


def merge_moments(count: Tensor, mean: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count, mean and sum of squared deviations of what all processes hold, from each one's own; with gradients.

    Merged as such (Chan et al. 1983), not as sums of squares, which would cost digits. One collective.

    Args:
        count: How many there are, a scalar; 0 is fine.
        mean: Their mean, (C,).
        squares: Σ (x - mean)², (C,).
    """
    if world_size() == 1:
        return count, mean, squares
    channels = mean.shape[0]
    moments = torch.cat([count.to(mean.dtype).reshape(1), mean, squares]).unsqueeze(0)
    counts, means, each = _Gather.apply(moments, [1] * world_size(), _group).split([1, channels, channels], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(dim=0) / total.clamp(min=1)
    return total, mean, (each + counts * (means - mean).square()).sum(dim=0)


def _sizes(rows: Tensor) -> list[int]:
    device = "cpu" if "cpu:" in distributed.get_backend_config(_group) else rows.device
    own = torch.full((1,), rows.shape[0], device=device)
    return torch.cat(_gather_equal(own, world_size(), _group)).tolist()


def _gather_equal(tensor: Tensor, number: int, group: Any) -> list[Tensor]:
    gathered = [torch.empty_like(tensor) for _ in range(number)]
    distributed.all_gather(gathered, tensor, group=group)
    return gathered


# The group is kept: a backward may run outside the context that chose it. Either backward is made of what has one
# itself, so that second derivatives are right.
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
        # Backends gather tensors of one size.
        largest = max(sizes)
        padded = rows.new_zeros((largest, *rows.shape[1:]))
        padded[: rows.shape[0]] = rows
        gathered = _gather_equal(padded, len(sizes), group)
        return torch.cat([of_process[:size] for of_process, size in zip(gathered, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Sum.apply(grad, ctx.group)[ctx.rows], None, None
