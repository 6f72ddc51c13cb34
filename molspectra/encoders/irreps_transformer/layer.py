"""Layer of the irreps transformer."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra.encoders.irreps_transformer.attention import IrrepsAttention
from molspectra.encoders.irreps_transformer.feed_forward import IrrepsFeedForward
from molspectra.encoders.irreps_transformer.norm import IrrepsNorm


class IrrepsTransformerLayer(nn.Module):
    """Pre-norm layer: t += Attention(Norm(t)), then t += FeedForward(Norm(t)).

    Args:
        hidden_channels: Number F of channels of each degree.
        num_heads: Number of attention heads.
        num_rbf: Number of radial basis functions.
        l_max: Highest degree.
        num_filters: Number of filters of each path of the tensor product.
    """

    def __init__(self, hidden_channels: int, num_heads: int, num_rbf: int, l_max: int, num_filters: int) -> None:
        super().__init__()
        # ε = 1 bounds the gain of the norms between layers by 1. Features that vanish by symmetry are rounding noise,
        # and the gains of all layers multiply.
        self.attention_norm = IrrepsNorm(hidden_channels, l_max, eps=1.0)
        self.attention = IrrepsAttention(hidden_channels, num_heads, num_rbf, l_max, num_filters)
        self.feed_forward_norm = IrrepsNorm(hidden_channels, l_max, eps=1.0)
        self.feed_forward = IrrepsFeedForward(hidden_channels, l_max)

    def forward(
        self,
        features: Float[Tensor, "atoms components channels"],
        edge_index: Int[Tensor, "2 edges"],
        rbf: Float[Tensor, "edges num_rbf"],
        envelope: Float[Tensor, "edges 1"],
        basis: tuple[Float[Tensor, "edges _ _"], ...],
    ) -> Float[Tensor, "atoms components channels"]:
        """Update features (N, (l_max + 1)², F). Edges include self-loops."""
        features = features + self.attention(self.attention_norm(features), edge_index, rbf, envelope, basis)
        return features + self.feed_forward(self.feed_forward_norm(features))
