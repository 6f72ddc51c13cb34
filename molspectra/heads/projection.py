"""Mapping a molecule's or a spectrum's features into a shared space."""

from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable


class ProjectionHead(Configurable, nn.Module):
    """LayerNorm, Linear, SiLU, Linear: a projection for contrastive learning.

    The published MolSpectra compares features directly; a projection is needed where the two encoders differ in width,
    and lets the features keep what the contrast would discard.

    Args:
        in_channels: Width of the features.
        out_channels: Width of the shared space.
        hidden_channels: Width of the hidden layer, by default that of the features.
    """

    def __init__(self, in_channels: int, out_channels: int, hidden_channels: int | None = None) -> None:
        super().__init__()
        hidden = hidden_channels or in_channels
        self.layers = nn.Sequential(
            nn.LayerNorm(in_channels), nn.Linear(in_channels, hidden), nn.SiLU(), nn.Linear(hidden, out_channels)
        )

    def forward(self, features: Float[Tensor, "batch in_channels"]) -> Float[Tensor, "batch out_channels"]:
        """(B, in) → (B, out)."""
        return self.layers(features)
