"""Collecting rows from all processes, with gradients."""

from typing import Any

import torch
from torch import Tensor, distributed


def is_distributed() -> bool:
    """Whether this process belongs to an initialised `torch.distributed` group."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """Index of this process, 0 outside `torch.distributed`."""
    return distributed.get_rank() if is_distributed() else 0


def gather_with_gradient(rows: Tensor) -> Tensor:
    """Concatenate (B, ...) of all processes in order of rank; each process must bring equally many rows.

    The backward sums the gradients that the processes have for a row and returns them to the process it came from.
    """
    if not is_distributed():
        return rows
    return _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.num_rows = rows.shape[0]
        gathered = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(gathered, rows.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(grad)
        return grad[distributed.get_rank() * ctx.num_rows :][: ctx.num_rows]
