"""Reconstruction of the masked parts of a spectrum."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from molspectra._validation import check_tensors_by_kind
from molspectra.objectives.objective import Objective, error_of


class MaskedPatchLoss(Objective):
    """Mean squared error over the masked samples of all patches, summed over the kinds (MolSpectra §3.2).

    L = Σ_kind Σ m (p̂ - p)² / Σ m, with one denominator for the whole batch. A kind without masked samples contributes
    0, where the released code gives NaN.

    Args:
        patchers: Patcher of each kind of spectrum (`specformer.patchers`), which places masks over samples in the
            patches. Without it the loss derives the stride from the shapes, which is possible for many short patches.

    Example:
        >>> specformer = ms.spectra.SpecFormer({"ir": 3501}, patch_len=50, stride=25)
        >>> spectra = {"ir": torch.rand(2, 3501)}
        >>> masked = ms.spectra.PatchMask(specformer.patchers)(spectra)
        >>> target = specformer.patches(spectra)
        >>> MaskedPatchLoss(specformer.patchers)(target, target, masked)
        tensor(0.)
    """

    def __init__(self, patchers: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.patchers = None if patchers is None else dict(patchers)

    def forward(
        self, predicted: Mapping[str, Tensor], target: Mapping[str, Tensor], masked: Mapping[str, Tensor]
    ) -> Float[Tensor, ""]:
        """Compare reconstructed patches with the true ones.

        Args:
            predicted: Kind → reconstructed patches (B, n, P).
            target: Kind → true scaled patches (B, n, P).
            masked: Kind → mask over samples (B, L) or patches (B, n), as :class:`~molspectra.spectra.PatchMask` draws
                them, or over the samples of each patch (B, n, P). Only these kinds count.

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: `masked` is empty or has a kind without patches, a mask fits neither patches nor samples, or a
                mask over samples needs `patchers`.
        """
        for name, by_kind in (("predicted", predicted), ("target", target), ("masked", masked)):
            check_tensors_by_kind(name, by_kind)
        if not masked:
            raise ValueError("masked is empty; expected the mask of at least one kind of spectrum.")
        if unknown := [kind for kind in masked if not (kind in predicted and kind in target)]:
            raise ValueError(
                f"masked has the kinds {unknown}, of which predicted or target have no patches; they hold "
                f"{list(predicted)} and {list(target)}."
            )
        parts = [
            masked_square(predicted[kind], target[kind], self._expand(kind, mask, target[kind]))
            for kind, mask in masked.items()
        ]
        totals, counts = zip(*parts, strict=True)
        # One collective for all kinds: a process that lacks a kind must still take part in its mean.
        return self.mean(torch.stack(totals), torch.stack(counts)).sum()

    def _expand(self, kind: str, masked: Tensor, target: Tensor) -> Tensor:
        """Return the mask over the samples of each patch, (B, n, P)."""
        if masked.shape == target.shape:
            return masked
        if masked.shape == target.shape[:2]:
            return masked.unsqueeze(-1).expand_as(target)
        if self.patchers is not None and kind in self.patchers:
            patcher = self.patchers[kind]
            # Spectra that were read on another range have another length, whose number of patches may be the same.
            if masked.dim() == 2 and patcher.count(masked.shape[1]) == target.shape[1]:
                patcher = patcher.resized(masked.shape[1])
            return patcher.expand(masked)
        return windows(kind, masked, target)


def windows(kind: str, masked: Tensor, target: Tensor) -> Bool[Tensor, "batch patches patch_len"]:
    """Cut a mask over samples (B, L) as n patches of P samples were cut, n = ⌊(L - P) / D⌋ + 1, if only one D fits.

    Raises:
        ValueError: the mask fits no patches, or several strides D.
    """
    expected = f"(B, L) over samples, {tuple(target.shape[:2])} over patches or {tuple(target.shape)} over both"
    if masked.dim() != 2 or masked.shape[0] != target.shape[0] or masked.shape[1] < target.shape[2]:
        raise ValueError(f"masked[{kind!r}] must have shape {expected}; got {tuple(masked.shape)}.")
    num_patches, patch_len = target.shape[1:]
    rest = masked.shape[1] - patch_len
    # One patch begins at the first sample, for any stride.
    first, last = (rest + 1, rest + 1) if num_patches == 1 else (rest // num_patches + 1, rest // (num_patches - 1))
    if first != last:
        raise ValueError(
            f"masked[{kind!r}] of {masked.shape[1]} samples fits {num_patches} patches of {patch_len} samples with "
            + (f"every stride from {first} to {last}" if first < last else "no stride")
            + ". Make MaskedPatchLoss(specformer.patchers), or expand the mask with specformer.patchers[kind].expand."
        )
    return masked.unfold(1, patch_len, first)


def masked_square(
    predicted: Float[Tensor, "batch patches patch_len"],
    target: Float[Tensor, "batch patches patch_len"],
    masked: Bool[Tensor, "batch patches patch_len"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Sum the squared errors over a mask, and count its samples."""
    square = error_of(predicted, target).square()
    weight = masked.to(square.dtype)
    return (square * weight).sum(), weight.sum()
