"""Reconstruction of the hidden peaks of a list."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from molspectra._validation import check_std, check_tensors_by_kind
from molspectra.layers.precision import at_least_float32
from molspectra.objectives.objective import Objective


class MaskedPeakLoss(Objective):
    """Cross-entropy of positions and squared error of intensities over the hidden peaks, summed over the kinds.

    L = Σ_kind mean over hidden peaks of [-ln p(bin of the position) + w (ŝ_bin - s)²], with one mean for the whole
    batch. A uniform guess over n bins has a cross-entropy of ln n. A kind without hidden peaks contributes 0.

    Args:
        bins: Bins of the positions of each kind (`decoder.bins` of :class:`~molspectra.spectra.PeakDecoder`).
        intensity_weight: Weight w of the error of scaled intensities.

    Raises:
        ValueError: `intensity_weight` is negative or infinite.

    Example:
        >>> axes = {"c_nmr": ms.data.PeakAxis("c_nmr", "ppm", (-20, 240))}
        >>> decoder = ms.spectra.PeakDecoder(32, axes, num_bins=260)
        >>> shifts, hidden = torch.tensor([[[77.2, 1.0], [128.4, 0.6]]]), torch.tensor([[True, False]])
        >>> predicted = decoder({"c_nmr": torch.rand(1, 2, 32)})
        >>> MaskedPeakLoss(decoder.bins)(predicted, {"c_nmr": shifts}, {"c_nmr": hidden}).shape
        torch.Size([])
    """

    def __init__(self, bins: Mapping[str, Any], intensity_weight: float = 1.0) -> None:
        super().__init__()
        check_std("intensity_weight", intensity_weight, "a weight")
        self.bins = dict(bins)
        self.intensity_weight = intensity_weight

    def forward(
        self, predicted: Mapping[str, Any], target: Mapping[str, Tensor], masked: Mapping[str, Tensor]
    ) -> Float[Tensor, ""]:
        """Compare predictions with the true peaks.

        Args:
            predicted: Kind → logits and intensities over bins, both (B, K, n).
            target: Kind → peaks (B, K, columns): d positions, then the scaled intensity. Padding is finite.
            masked: Kind → hidden peaks (B, K), as :class:`~molspectra.spectra.PeakMask` draws them. Only these kinds
                count.

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: `masked` is empty or has an unknown kind, or shapes do not fit each other.
        """
        for name, by_kind in (("target", target), ("masked", masked)):
            check_tensors_by_kind(name, by_kind)
        if not isinstance(predicted, Mapping):
            raise TypeError(
                f"predicted must be a dict from kinds to predictions, as PeakDecoder makes it; got a "
                f"{type(predicted).__name__}. Call loss(decoder(tokens), peaks, masked)."
            )
        if not masked:
            raise ValueError("masked is empty; expected the mask of at least one kind of spectrum.")
        if unknown := [kind for kind in masked if not (kind in predicted and kind in target and kind in self.bins)]:
            raise ValueError(
                f"masked has the kinds {unknown}, which predicted, target or bins lack; they hold {list(predicted)}, "
                f"{list(target)} and {list(self.bins)}."
            )
        parts = [self._sum(kind, predicted[kind], target[kind], mask) for kind, mask in masked.items()]
        totals, counts = zip(*parts, strict=True)
        # One collective for all kinds: a process that lacks a kind must still take part in its mean.
        return self.mean(torch.stack(totals), torch.stack(counts)).sum()

    def _sum(self, kind: str, predicted: Any, target: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Sum the errors over the hidden peaks of one kind, and count these."""
        logits, intensity = predicted
        bins = self.bins[kind]
        d = bins.axis.num_positions
        expected = (*target.shape[:2], bins.number)
        got = [tuple(tensor.shape) for tensor in (logits, intensity, masked)]
        if logits.shape != expected or intensity.shape != expected or masked.shape != target.shape[:2]:
            raise ValueError(
                f"predicted[{kind!r}] must have shape {expected} and masked {tuple(target.shape[:2])} for peaks of "
                f"shape {tuple(target.shape)}; got {got}."
            )
        index = bins.index(target[..., :d])
        surprise = F.cross_entropy(at_least_float32(logits).flatten(0, 1), index.flatten(), reduction="none")
        guess = at_least_float32(intensity).gather(-1, index.unsqueeze(-1)).squeeze(-1)
        square = (guess - target[..., d].to(guess.dtype)).square()
        error = surprise.view_as(square) + self.intensity_weight * square
        return error.masked_fill(~masked, 0.0).sum(), masked.sum().to(error.dtype)
