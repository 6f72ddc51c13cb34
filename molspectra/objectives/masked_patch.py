"""Reconstruction of the masked parts of a spectrum."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra.objectives.objective import Objective, error_of


class MaskedPatchLoss(Objective):
    """Mean squared error over the masked samples of all patches, summed over the kinds (MolSpectra §3.2).

    L = Σ_kind Σ m (p̂ - p)² / Σ m, with one denominator for the whole batch. A kind without masked samples contributes
    0, where the released code gives NaN.
    """

    def forward(
        self, predicted: Mapping[str, Tensor], target: Mapping[str, Tensor], masked: Mapping[str, Tensor]
    ) -> Float[Tensor, ""]:
        """Compare reconstructed patches with the true ones.

        Args:
            predicted: Kind → reconstructed patches (B, n, P).
            target: Kind → true scaled patches (B, n, P).
            masked: Kind → mask over the samples of each patch, (B, n, P) (`SpectrumPatcher.expand`), or over patches,
                (B, n). Only these kinds count.

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: `masked` is empty.
        """
        if not masked:
            raise ValueError("masked is empty; expected the mask of at least one kind of spectrum.")
        parts = [masked_square(predicted[kind], target[kind], mask) for kind, mask in masked.items()]
        totals, counts = zip(*parts, strict=True)
        # One collective for all kinds: a process that lacks a kind must still take part in its mean.
        return self.mean(torch.stack(totals), torch.stack(counts)).sum()


def masked_square(predicted: Tensor, target: Tensor, masked: Tensor) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Sum the squared errors over a mask, (B, n, P) or (B, n), and count its samples."""
    if masked.dim() == target.dim() - 1:
        masked = masked.unsqueeze(-1)
    square = error_of(predicted, target).square()
    weight = masked.expand_as(square).to(square.dtype)
    return (square * weight).sum(), weight.sum()
