"""A transformer layer with residual attention: each layer adds the scores of the layers before it to its own."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra.spectra.token_norm import TokenBatchNorm, TokenLayerNorm

# Score added to the keys of absent tokens: e^-10000 is exactly 0 in every dtype (as is e^-4000).
_ABSENT = -1e4
# The least width of queries and keys for which the CPU's kernel is fast: 8 take longer than 16.
_CPU_CHANNELS = 16


class ScoreHistory:
    """Queries and keys of the layers so far, from which the accumulated attention scores are computed.

    Residual attention (RealFormer, He et al. 2021, arXiv:2012.11747; used by PatchTST and SpecFormer) adds the scores
    before the softmax: S_l = s Q_l K_lᵀ + S_{l-1}. Scores add linearly, so S_l = s [Q_1 ‖ … ‖ Q_l] [K_1 ‖ … ‖ K_l]ᵀ
    with the heads' channels concatenated: an ordinary attention of larger head dimension, which a fused kernel computes
    without a tokens × tokens tensor in memory.

    Absent tokens get weight 0 by a bias a key. On the CPU it is a mask. On an accelerator, where a mask would rule out
    the fastest kernels, one more channel carries it, constant in the queries; channels are padded to a multiple of 8,
    as those kernels want.

    Args:
        present: Which tokens exist, (B, n).
        scale: s, the inverse square root of a head's width.
        masked: Whether the bias is a mask rather than a channel; by default on the CPU only.
    """

    def __init__(self, present: Bool[Tensor, "batch tokens"], scale: float, masked: bool | None = None) -> None:
        self.present = present
        self.scale = scale
        self.masked = present.device.type == "cpu" if masked is None else masked
        self.queries: list[Tensor] = []
        self.keys: list[Tensor] = []

    def attend(
        self,
        query: Float[Tensor, "batch heads tokens width"],
        key: Float[Tensor, "batch heads tokens width"],
        value: Float[Tensor, "batch heads tokens width"],
        dropout: float = 0.0,
    ) -> Float[Tensor, "batch heads tokens width"]:
        """Add a layer's queries and keys, and average its values by the accumulated scores."""
        self.queries.append(query)
        self.keys.append(key)
        width, used = query.shape[-1], len(self.queries) * query.shape[-1]
        extra = max(_CPU_CHANNELS - used, 0) if self.masked else 8 - used % 8
        # Finite in float16, too.
        absent = _ABSENT if self.masked else max(_ABSENT / self.scale, torch.finfo(key.dtype).min / 2)
        bias = torch.where(self.present, 0.0, absent).to(key.dtype)[:, None, :, None]
        carrier = query.new_zeros(extra)
        if not self.masked:
            carrier[:1].fill_(1)  # not = 1, a copy from the host
        more = (*query.shape[:-1], extra)
        out = F.scaled_dot_product_attention(
            torch.cat([*self.queries, carrier.expand(more)], dim=-1),
            torch.cat([*self.keys, (bias * carrier).expand(more)], dim=-1),
            F.pad(value, (0, used - width + extra)),
            attn_mask=bias.mT if self.masked else None,
            scale=self.scale,
            dropout_p=dropout,
        )
        return out[..., :width]

    def attention_map(self) -> Float[Tensor, "batch heads tokens tokens"]:
        """The softmax weights of the last layer added, made explicitly: quadratic in memory, for looking at."""
        scores = torch.cat(self.queries, dim=-1) @ torch.cat(self.keys, dim=-1).mT * self.scale
        return (scores + torch.where(self.present, 0.0, _ABSENT)[:, None, None, :]).softmax(dim=-1)


class ResidualAttentionLayer(nn.Module):
    """Post-norm transformer layer: h ← Norm(h + W_o Attention(h)), h ← Norm(h + W_2 GELU(W_1 h)).

    Args:
        channels: Width of the tokens.
        num_heads: Attention heads; divides `channels`.
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
        """Tokens (B, n, D) → (B, n, D); the layer's queries and keys are added to `history`."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        weight, bias = (torch.cat([getattr(proj, name) for proj in projections]) for name in ("weight", "bias"))
        together = F.linear(hidden, weight, bias).unflatten(-1, (3, self.num_heads, -1))  # one product, not three
        query, key, value = together.permute(2, 0, 3, 1, 4).unbind()
        attended = history.attend(query, key, value, dropout=self.dropout.p if self.training else 0.0)
        attended = self.o_proj(attended.transpose(1, 2).flatten(2))
        hidden = self.attention_norm(hidden + self.dropout(attended), history.present)
        return self.feedforward_norm(hidden + self.dropout(self.feedforward(hidden)), history.present)
