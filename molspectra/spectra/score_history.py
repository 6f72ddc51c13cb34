"""Attention scores accumulated over layers, from concatenated queries and keys."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from molspectra._transforms import is_transformed

# Score added to the keys of missing tokens: e^-10000 is exactly 0 in every dtype (as is e^-4000).
_MISSING = -1e4
# The least width of queries and keys for which the CPU's kernel is fast: 8 take longer than 16.
_CPU_CHANNELS = 16
# Fused kernels of accelerators read rows of a multiple of 8 half-precision numbers, 16 bytes.
_ACCELERATOR_CHANNELS = 8


class ScoreHistory:
    """Queries and keys of the layers so far, from which the accumulated attention scores are computed.

    Residual attention (RealFormer, He et al. 2021, arXiv:2012.11747, used by PatchTST and SpecFormer) adds the scores
    before the softmax: S_l = s Q_l K_lᵀ + S_{l-1}. Scores add linearly, so S_l = s [Q_1 ‖ … ‖ Q_l] [K_1 ‖ … ‖ K_l]ᵀ
    with the heads' channels concatenated. That is an ordinary attention of larger head dimension, which a fused kernel
    computes without a tokens × tokens tensor in memory.

    Missing tokens get weight 0 from a bias per key. On the CPU it is a mask. On an accelerator a mask would rule out
    the fastest kernels, so one more channel carries it, constant in the queries.

    Args:
        valid: True for tokens that count, (B, n).
        scale: s, the inverse square root of a head's width.
        as_mask: True if the bias is a mask, False if it is a channel, by default a mask on the CPU only.
    """

    def __init__(self, valid: Bool[Tensor, "batch tokens"], scale: float, as_mask: bool | None = None) -> None:
        self.valid = valid
        self.scale = scale
        self.as_mask = valid.device.type == "cpu" if as_mask is None else as_mask
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
        if is_transformed():  # fused kernels have one derivative, none in forward mode, and no rule for vmap
            return F.dropout(self.attention_map(), dropout) @ value
        width, used = query.shape[-1], len(self.queries) * query.shape[-1]
        if self.as_mask:
            padding = max(_CPU_CHANNELS - used, 0)
            missing = _MISSING
        else:
            # At least one channel, as the bias takes one: a full multiple is padded by another.
            padding = _ACCELERATOR_CHANNELS - used % _ACCELERATOR_CHANNELS
            # The kernel multiplies the channel by s. In float16 the quotient has to stay finite.
            missing = max(_MISSING / self.scale, torch.finfo(key.dtype).min / 2)
        bias = _bias(self.valid, missing, key.dtype)[:, None, :, None]
        carrier = query.new_zeros(padding)
        if not self.as_mask:
            carrier[:1].fill_(1)  # not = 1, a copy from the host
        padded = (*query.shape[:-1], padding)
        out = F.scaled_dot_product_attention(
            torch.cat([*self.queries, carrier.expand(padded)], dim=-1),
            torch.cat([*self.keys, (bias * carrier).expand(padded)], dim=-1),
            # Kernels want values as wide as keys. Zeros there give zeros in the output, which are cut off.
            F.pad(value, (0, used - width + padding)),
            attn_mask=bias.mT if self.as_mask else None,
            scale=self.scale,
            dropout_p=dropout,
        )
        return out[..., :width]

    def attention_map(self) -> Float[Tensor, "batch heads tokens tokens"]:
        """Return the softmax weights of the last layer added, formed explicitly: quadratic in memory, for figures."""
        scores = torch.cat(self.queries, dim=-1) @ torch.cat(self.keys, dim=-1).mT * self.scale
        return (scores + _bias(self.valid, _MISSING, scores.dtype)[:, None, None, :]).softmax(dim=-1)


def _bias(valid: Tensor, missing: float, dtype: torch.dtype) -> Tensor:
    """Return 0 for valid tokens and `missing` for the others, (B, n)."""
    return torch.zeros_like(valid, dtype=dtype).masked_fill(~valid, missing)
