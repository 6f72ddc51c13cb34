"""Normalization of denoising targets to unit scale by running statistics."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._transforms import updating_statistics
from molspectra._validation import check_tensor
from molspectra.distributed import sum_over_processes


class TargetNormalizer(Configurable, nn.Module):
    """Division of vector targets by their root mean square per component over all atoms seen in training.

    In training mode a batch is first added to the statistics, then normalized by them. In evaluation mode the
    statistics do not change. They are merged batch by batch as count, mean and sum of squared deviations in float64
    (Chan et al. 1983), over all processes (:mod:`molspectra.distributed`). A target that is 0 everywhere stays 0. Rows
    that are not finite are left out of the statistics.

    One scale for all three axes and no shift keep the loss invariant under rotation. The released code shifts by the
    mean and divides by the standard deviation of each axis, which `as_released` reproduces: (x - m) / max(s, 1e-8).
    Unlike the release, neither mode gives NaN for constant rows, loses counts beyond 2²⁴ atoms, or differs between
    processes.

    Args:
        as_released: Standardize each axis separately.
    """

    count: Tensor
    mean: Tensor
    squared_deviations: Tensor

    def __init__(self, as_released: bool = False) -> None:
        super().__init__()
        self.as_released = as_released
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("squared_deviations", torch.zeros(3, dtype=torch.float64))

    def reset_running_stats(self) -> None:
        """Forget all batches, as the batch norms of torch do."""
        for statistics in (self.count, self.mean, self.squared_deviations):
            statistics.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TargetNormalizer":
        """Move the statistics to another device with the module, but keep their dtype: counts need float64."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, moved in self._buffers.items():
            kept = before[name]
            assert kept is not None
            assert moved is not None
            self._buffers[name] = kept.to(moved.device)
        return self

    @torch.no_grad()
    def forward(self, target: Float[Tensor, "atoms 3"]) -> Float[Tensor, "atoms 3"]:
        """Return normalized targets (N, 3), without gradient."""
        check_tensor("target", target)
        if self.training:
            self.update(target)
        variance = self.squared_deviations / self.count.clamp(min=1)
        if self.as_released:
            normalized = (target.double() - self.mean) / variance.sqrt().clamp(min=1e-8)
        else:
            # ⟨x²⟩ = var(x) + ⟨x⟩², averaged over the axes.
            mean_square = (variance + self.mean.square()).mean()
            normalized = target.double() / torch.where(mean_square > 0, mean_square.sqrt(), 1.0)
        return normalized.to(target.dtype)

    @torch.no_grad()
    def update(self, target: Float[Tensor, "atoms 3"]) -> None:
        """Add a batch to the statistics, without rows that are not finite, which would spoil all later ones."""
        finite = target.isfinite().all(dim=1, keepdim=True)
        target = torch.where(finite, target.double(), 0.0)
        # Count, Σ x and Σ x² of all processes, in one collective.
        sums = torch.stack([finite.sum().double().expand(3), target.sum(0), target.square().sum(0)])
        sums = sum_over_processes(sums)
        added, mean = sums[0, 0], sums[1] / sums[0].clamp(min=1)
        deviations = (sums[2] - sums[0] * mean.square()).clamp(min=0)
        # Merge two samples: deviations within each, plus those between their means.
        total = self.count + added
        shift = mean - self.mean
        share = added / total.clamp(min=1)
        with updating_statistics("TargetNormalizer"):
            self.squared_deviations += deviations + shift.square() * self.count * share
            self.mean += shift * share
            self.count += added
