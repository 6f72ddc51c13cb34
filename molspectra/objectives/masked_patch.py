"""Reconstructing what was hidden of a spectrum."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra.distributed import global_mean


class MaskedPatchLoss(nn.Module):
    """Mean squared error over the hidden samples of all patches, summed over the kinds (MolSpectra §3.2).

    L = Σ_kind Σ m (p̂ - p)² / Σ m, with one denominator for the whole batch. A kind of which nothing is hidden
    contributes 0, where the released code gives NaN.
    """

    def forward(
        self, predicted: Mapping[str, Tensor], target: Mapping[str, Tensor], masked: Mapping[str, Tensor]
    ) -> Float[Tensor, ""]:
        """Compare reconstructed patches with the true ones.

        Args:
            predicted: Kind → reconstructed patches (B, n, P).
            target: Kind → true scaled patches (B, n, P).
            masked: Kind → what was hidden: (B, n, P) over the samples of each patch (`SpectrumPatcher.expand`), or
                (B, n) over patches. Only these kinds count.

        Returns:
            The loss, a scalar.
        """
        if not masked:
            raise ValueError("masked is empty; expected the mask of at least one kind of spectrum.")
        totals, counts = zip(
            *(masked_square(predicted[kind], target[kind], mask) for kind, mask in masked.items()), strict=True
        )
        return global_mean(torch.stack(totals), torch.stack(counts), self.training).sum()


def masked_square(predicted: Tensor, target: Tensor, masked: Tensor) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Sum of squared errors where `masked`, (B, n, P) or (B, n), and of how many samples that is."""
    if masked.dim() == target.dim() - 1:
        masked = masked.unsqueeze(-1)
    weight = masked.expand_as(target).to(target.dtype)
    return ((predicted.to(target.dtype) - target).square() * weight).sum(), weight.sum()
