"""Pooling of the tokens of all kinds of spectrum into one vector."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_choice
from molspectra.spectra.band_pooling import BandPooling
from molspectra.spectra.patching import SpectrumPatcher

POOLS = ("flatten", "mean", "bands")
"""Ways to make one vector of all tokens."""


class TokenPooling(Configurable, nn.Module):
    """One vector for each sample, from its valid tokens alone.

    "flatten" concatenates the tokens of patches, 0 for absent ones. "mean" averages the tokens of all kinds. "bands"
    averages those of patches in soft bands of the axis of each kind (:class:`BandPooling`) and concatenates the bands.
    Only "flatten" fixes the number of patches. Peaks have no order by which they could be told apart: but for "mean",
    the mean of its tokens stands for a list of peaks, at a place of its own.

    Args:
        pool: "flatten", "mean" or "bands".
        patchers: Patcher of each kind on a grid, in the order of the tokens.
        num_bands: Bands of each kind on a grid, at most as many as its patches.
        num_lists: Number of kinds that are given as peaks, whose tokens come last.
    """

    def __init__(
        self,
        pool: str,
        patchers: Mapping[str, SpectrumPatcher],
        num_bands: Mapping[str, int],
        num_lists: int = 0,
    ) -> None:
        super().__init__()
        check_choice("pool", pool, POOLS)
        self.pool = pool
        self.num_lists = num_lists
        self.num_patches = sum(patcher.num_patches for patcher in patchers.values())
        self.bands = nn.ModuleList()
        if pool == "bands":
            for kind, patcher in patchers.items():
                first, last = float(patcher.centers[0]), float(patcher.centers[-1])
                number = min(num_bands[kind], patcher.num_patches)
                self.bands.append(BandPooling(first, last, patcher.stride, number))

    @property
    def num_vectors(self) -> int:
        """Number of vectors of the width of a token that are concatenated."""
        if self.pool == "mean":
            return 1
        num_bands = sum(bands.num_bands for bands in self.bands)  # type: ignore[misc]
        return self.num_lists + (num_bands if self.pool == "bands" else self.num_patches)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens channels"],
        valid: Bool[Tensor, "batch tokens"],
        counts: Sequence[int],
        places: Sequence[Tensor] = (),
    ) -> Float[Tensor, "batch pooled"]:
        """Pool tokens (B, n, D).

        Args:
            tokens: Tokens of all kinds, one kind after the other.
            valid: Which of them are valid, (B, n).
            counts: Number of tokens of each kind.
            places: For "bands", the center of the patch of each token (n_kind,) of each kind on a grid, in samples of
                the encoder's axis.
        """
        if self.pool == "mean":
            return _mean(tokens, valid)
        first = sum(counts[: len(counts) - self.num_lists])
        if self.pool == "bands":
            parts = zip(self.bands, tokens.split(counts, 1), valid.split(counts, 1), places, strict=False)
            pooled = [bands(*of_kind).flatten(1) for bands, *of_kind in parts]
        else:
            # Each token keeps its own weights in the output: which band absorbs matters, and not only how strongly.
            pooled = [tokens[:, :first].masked_fill(~valid[:, :first].unsqueeze(-1), 0.0).flatten(1)]
        for count in counts[len(counts) - self.num_lists :]:
            pooled.append(_mean(tokens[:, first : first + count], valid[:, first : first + count]))
            first += count
        return torch.cat(pooled, dim=1)


def _mean(tokens: Tensor, valid: Tensor) -> Tensor:
    """Return the mean of the valid tokens, (B, D), 0 if there is none."""
    total = tokens.masked_fill(~valid.unsqueeze(-1), 0.0).sum(dim=1)
    return total / valid.sum(dim=1, keepdim=True).clamp(min=1)
