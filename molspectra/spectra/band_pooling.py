"""Pooling of tokens into bands of their axis."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_sizes, check_tensors

# A band that has a token within one standard deviation counts in full. Further from all tokens it fades to 0.
_FULL = math.exp(-0.5)


class BandPooling(Configurable, nn.Module):
    """Mean of the tokens of one kind of spectrum in each of K soft bands of its axis.

    Band k is a Gaussian around x_k, b_k = Σ_t w_tk t / max(Σ_t w_tk, e^-½) with w_tk = exp(-(x_t - x_k)² / 2σ²), over
    the valid tokens t at places x_t. The centers x_k stand evenly from the first token of the axis to the last, and σ
    is half of their distance, but at least half of that of two tokens. The number and places of tokens are free, which
    "flatten" fixes: it is the limit of one narrow band for each token. A band without tokens is 0.

    Args:
        first: Place of the first token.
        last: Place of the last token.
        spacing: Distance of neighboring tokens.
        num_bands: Number of bands K.

    Example:
        >>> pooling = BandPooling(first=0.0, last=90.0, spacing=10.0, num_bands=4)
        >>> places = torch.arange(10.0) * 10
        >>> pooling(torch.rand(2, 10, 32), torch.ones(2, 10, dtype=torch.bool), places).shape
        torch.Size([2, 4, 32])
    """

    def __init__(self, first: float, last: float, spacing: float, num_bands: int) -> None:
        super().__init__()
        check_sizes(num_bands=num_bands)
        self.num_bands = num_bands
        self.distance = (last - first) / max(num_bands - 1, 1)
        self.first = first if num_bands > 1 else (first + last) / 2
        self.std = max(self.distance, spacing) / 2

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens channels"],
        valid: Bool[Tensor, "batch tokens"],
        places: Float[Tensor, " tokens"],
    ) -> Float[Tensor, "batch bands channels"]:
        """Return the bands (B, K, D) of tokens (B, n, D) at places (n,)."""
        check_tensors(tokens=tokens, valid=valid, places=places)
        centers = self.first + self.distance * torch.arange(self.num_bands, dtype=places.dtype, device=places.device)
        weights = ((places - centers.unsqueeze(1)) / self.std).square().mul(-0.5).exp().to(tokens.dtype)
        total = valid.to(tokens.dtype) @ weights.T
        bands = weights @ tokens.masked_fill(~valid.unsqueeze(-1), 0.0)
        return bands / total.clamp(min=_FULL).unsqueeze(-1)
