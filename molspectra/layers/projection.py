"""Projection of molecule or spectrum features into a shared space."""

from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_channels, check_tensor
from molspectra.layers.layer_norm import LayerNorm


class ProjectionMLP(Configurable, nn.Module):
    """Projection for contrastive learning: LayerNorm, Linear, SiLU, Linear.

    The published MolSpectra compares features directly. Encoders of different widths need a projection, and it lets
    features keep information that the contrast discards.

    Args:
        in_channels: Width of the features.
        out_channels: Width of the shared space.
        hidden_channels: Width of the hidden layer. Default: `in_channels`.
    """

    def __init__(self, in_channels: int, out_channels: int, hidden_channels: int | None = None) -> None:
        super().__init__()
        hidden = hidden_channels or in_channels
        self.in_channels = in_channels
        self.layers = nn.Sequential(
            LayerNorm(in_channels), nn.Linear(in_channels, hidden), nn.SiLU(), nn.Linear(hidden, out_channels)
        )

    def forward(self, features: Float[Tensor, "batch in_channels"]) -> Float[Tensor, "batch out_channels"]:
        """Map (B, in) to (B, out).

        Raises:
            ValueError: The features have another width.
        """
        check_tensor("features", features)
        check_channels("ProjectionMLP", features.shape[-1], self.in_channels)
        return self.layers(features)
