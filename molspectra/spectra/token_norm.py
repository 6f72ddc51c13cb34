"""Normalisation of tokens of which some may be absent."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra._validation import values_are_free
from molspectra.distributed import merge_moments, world_size


class TokenBatchNorm(nn.Module):
    """Batch normalisation of each channel over all *present* tokens of the batch.

    Equal to `nn.BatchNorm1d` (momentum 0.1, unbiased running variance) when every token is present. Absent tokens take
    no part in the statistics, nor in their running averages. In training the batch is that of all processes, as with
    `nn.SyncBatchNorm` (see :mod:`molspectra.distributed`).

    Args:
        channels: Width of the tokens.
        eps: Added to the variance.
        momentum: Weight of the newest batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.int64))

    def forward(
        self, tokens: Float[Tensor, "batch tokens channels"], present: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Tokens (B, n, D) and which of them exist, (B, n) → (B, n, D)."""
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.to(self.weight.dtype)
            if self.training:
                self.num_batches_tracked.add_(1)
            if not self.training or self._is_plain(present):
                flat = F.batch_norm(
                    tokens.flatten(0, 1),
                    self.running_mean,
                    self.running_var,
                    self.weight,
                    self.bias,
                    self.training,
                    self.momentum,
                    self.eps,
                )
                return flat.view_as(tokens)
            weight = present.unsqueeze(-1).to(tokens.dtype)
            count = weight.sum()
            mean = (tokens * weight).sum(dim=(0, 1)) / count.clamp(min=1)
            centered = tokens - mean
            squares = (centered.square() * weight).sum(dim=(0, 1))
            if world_size() > 1:
                count, mean, squares = merge_moments(count, mean, squares)
                centered = tokens - mean
            variance = squares / count.clamp(min=1)
            self._track(mean.detach(), variance.detach(), count)
            return centered * (torch.rsqrt(variance + self.eps) * self.weight) + self.bias

    @staticmethod
    def _is_plain(present: Tensor) -> bool:
        """Whether PyTorch's own operator will do: where a look at what is present costs nothing, and all of it is."""
        return values_are_free(present) and present.numel() > 1 and world_size() == 1 and bool(present.all())

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        momentum = self.momentum * (count > 0).to(mean.dtype)  # a batch without a single token teaches nothing
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_mean.add_(momentum * (mean - self.running_mean))
        self.running_var.add_(momentum * (unbiased - self.running_var))

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return f"{self.weight.shape[0]}, eps={self.eps}, momentum={self.momentum}"


class TokenLayerNorm(nn.LayerNorm):
    """Layer normalisation of each token by itself."""

    def forward(  # type: ignore[override]
        self, tokens: Float[Tensor, "batch tokens channels"], present: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Tokens (B, n, D) → (B, n, D)."""
        return super().forward(tokens)
