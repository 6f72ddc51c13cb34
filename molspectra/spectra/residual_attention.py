"""A transformer layer with residual attention: each layer adds the scores of the layers before it to its own."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from molspectra.spectra.score_history import ScoreHistory
from molspectra.spectra.token_norm import TokenBatchNorm, TokenLayerNorm, normalize_tokens


class ResidualAttentionLayer(nn.Module):
    """Post-norm transformer layer: h ← Norm(h + W_o Attention(h)), h ← Norm(h + W_2 GELU(W_1 h)).

    Args:
        channels: Width of the tokens.
        num_heads: Attention heads, a divisor of `channels`.
        feedforward_channels: Width of the hidden layer of the feed-forward part.
        dropout: Dropout rate of attention weights and of both branches.
        norm: "batch" (PatchTST's choice) or "layer".
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        feedforward_channels: int,
        dropout: float = 0.0,
        norm: Literal["batch", "layer"] = "batch",
    ) -> None:
        super().__init__()
        # A norm over the batch blunts single extreme tokens, such as an intense line. A norm per token does not.
        make_norm = TokenBatchNorm if norm == "batch" else TokenLayerNorm
        self.num_heads = num_heads
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.o_proj = nn.Linear(channels, channels)
        self.attention_norm = make_norm(channels)
        self.feedforward = nn.Sequential(
            nn.Linear(channels, feedforward_channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(feedforward_channels, channels),
        )
        self.feedforward_norm = make_norm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, hidden: Float[Tensor, "batch tokens channels"], history: ScoreHistory
    ) -> Float[Tensor, "batch tokens channels"]:
        """Update tokens (B, n, D), and add the layer's queries and keys to `history`."""
        query, key, value = (
            project(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = history.attend(query, key, value, dropout=self.dropout.p if self.training else 0.0)
        attended = self.o_proj(attended.transpose(1, 2).flatten(2))
        # Missing tokens are kept out of the attention as keys. Here they are kept out of the statistics as well.
        hidden = normalize_tokens(self.attention_norm, hidden + self.dropout(attended), history.valid)
        hidden = hidden + self.dropout(self.feedforward(hidden))
        return normalize_tokens(self.feedforward_norm, hidden, history.valid)
