"""Normalization of tokens, some of which may be missing."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra._validation import values_are_free
from molspectra.distributed import merge_moments, world_size


class TokenBatchNorm(nn.Module):
    """Batch normalization of each channel over all *valid* tokens of the batch.

    Equal to `nn.BatchNorm1d` (momentum 0.1, unbiased running variance) when every token is valid. Missing tokens take
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
        self, tokens: Float[Tensor, "batch tokens channels"], valid: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Normalize tokens (B, n, D), of which those that are `valid`, (B, n), make up the statistics."""
        with torch.autocast(tokens.device.type, enabled=False):
            # Sums of squares over thousands of tokens overflow in float16 and lose digits in bfloat16.
            tokens = tokens.to(self.weight.dtype)
            if self.training:
                self.num_batches_tracked.add_(1)
            # PyTorch's fused operator, where the masked statistics below would give the same.
            if not self.training or self._is_plain(valid):
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
            weight = valid.unsqueeze(-1).to(tokens.dtype)
            count = weight.sum()
            mean = (tokens * weight).sum(dim=(0, 1)) / count.clamp(min=1)
            # The variance from centered tokens: E[x²] - E[x]² would cancel where the mean is large.
            centered = tokens - mean
            squares = (centered.square() * weight).sum(dim=(0, 1))
            if world_size() > 1:
                # Processes may hold different numbers of valid tokens: means are merged with their counts as weights.
                count, mean, squares = merge_moments(count, mean, squares)
                centered = tokens - mean
            variance = squares / count.clamp(min=1)
            self._track(mean.detach(), variance.detach(), count)
            return centered * (torch.rsqrt(variance + self.eps) * self.weight) + self.bias

    @staticmethod
    def _is_plain(valid: Tensor) -> bool:
        """Return True if PyTorch's own operator gives the result: looking at `valid` is free, and all tokens are."""
        return values_are_free(valid) and valid.numel() > 1 and world_size() == 1 and bool(valid.all())

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update the running statistics, with the unbiased variance as PyTorch does."""
        momentum = self.momentum * (count > 0).to(mean.dtype)  # a batch without a valid token changes nothing
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_mean.add_(momentum * (mean - self.running_mean))
        self.running_var.add_(momentum * (unbiased - self.running_var))

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"{self.weight.shape[0]}, eps={self.eps}, momentum={self.momentum}"


class TokenLayerNorm(nn.LayerNorm):
    """Layer normalization of each token by itself."""

    def forward(  # type: ignore[override]
        self, tokens: Float[Tensor, "batch tokens channels"], valid: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Normalize tokens (B, n, D). `valid` is not needed, as no token sees another here."""
        return super().forward(tokens)
