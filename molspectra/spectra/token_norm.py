"""Normalization of tokens, some of which may be missing."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from molspectra._transforms import updating_statistics
from molspectra._validation import values_are_free
from molspectra.distributed import merge_moments, world_size
from molspectra.layers.layer_norm import LayerNorm


class TokenBatchNorm(_BatchNorm):
    """Batch normalization of each channel over all *valid* tokens of the batch.

    Equal to `nn.BatchNorm1d` (with its momentum, unbiased running variance, cumulative average for a momentum of None,
    and statistics of the batch where none are tracked) when every token is valid. Missing tokens take no part in the
    statistics, nor in their running averages. In training the batch is that of all processes, as with
    `nn.SyncBatchNorm` (see :mod:`molspectra.distributed`).

    Args:
        channels: Width of the tokens.
        eps: Added to the variance.
        momentum: Weight of the newest batch in the running statistics. None for their average over all batches, as
            `torch.optim.swa_utils.update_bn` sets it.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(channels, eps, momentum)

    def forward(  # type: ignore[override]
        self, tokens: Float[Tensor, "batch tokens channels"], valid: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Normalize tokens (B, n, D), of which those that are `valid`, (B, n), make up the statistics."""
        with torch.autocast(tokens.device.type, enabled=False):
            # Sums of squares over thousands of tokens overflow in float16 and lose digits in bfloat16.
            tokens = tokens.to(self.weight.dtype)
            of_batch = self.training or self.running_mean is None
            # PyTorch's fused operator, where the masked statistics below would give the same.
            if not of_batch or self._is_plain(valid):
                return self._normalize_all(tokens, of_batch)
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
            if self._tracks:
                self._track(mean.detach(), variance.detach(), count)
            return centered * (torch.rsqrt(variance + self.eps) * self.weight) + self.bias

    @property
    def _tracks(self) -> bool:
        return self.training and self.track_running_stats and self.running_mean is not None

    @staticmethod
    def _is_plain(valid: Tensor) -> bool:
        """Return True if PyTorch's own operator gives the result: looking at `valid` is free, and all tokens are."""
        return values_are_free(valid) and valid.numel() > 1 and world_size() == 1 and bool(valid.all())

    def _normalize_all(self, tokens: Tensor, of_batch: bool) -> Tensor:
        """Normalize by the statistics of all tokens of the batch, or by the running ones."""
        momentum, tracks = 0.0, self._tracks
        if tracks:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        running = (self.running_mean, self.running_var) if tracks or not of_batch else (None, None)
        flat = F.batch_norm(tokens.flatten(0, 1), *running, self.weight, self.bias, of_batch, momentum, self.eps)
        return flat.view_as(tokens)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update the running statistics, with the unbiased variance as PyTorch does."""
        assert self.num_batches_tracked is not None
        any_valid = count > 0  # a batch without a valid token changes nothing
        with updating_statistics("The batch normalization of spectra"):
            self.num_batches_tracked.add_(any_valid)
            factor = any_valid.to(mean.dtype)
            if self.momentum is None:
                factor = factor / self.num_batches_tracked.clamp(min=1).to(mean.dtype)
            else:
                factor = factor * self.momentum
            unbiased = variance * (count / (count - 1).clamp(min=1))
            for running, value in ((self.running_mean, mean), (self.running_var, unbiased)):
                assert running is not None
                running.add_(factor * (value - running))


class TokenLayerNorm(LayerNorm):
    """Layer normalization of each token by itself."""

    def forward(  # type: ignore[override]
        self, tokens: Float[Tensor, "batch tokens channels"], valid: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Normalize tokens (B, n, D). `valid` is not needed, as no token sees another here."""
        return super().forward(tokens)


def normalize_tokens(
    norm: nn.Module, tokens: Float[Tensor, "batch tokens channels"], valid: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch tokens channels"]:
    """Apply a norm to tokens (B, n, D), also where `SyncBatchNorm.convert_sync_batchnorm` has replaced it."""
    if not isinstance(norm, nn.SyncBatchNorm):
        return norm(tokens, valid)
    # It knows nothing of missing tokens: it gets the others alone.
    rows = torch.zeros_like(tokens)
    rows[valid] = norm(tokens[valid]).to(rows.dtype)
    return rows
