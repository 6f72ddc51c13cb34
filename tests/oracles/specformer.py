"""SpecFormer as its equations are written: patches, explicit residual attention, batch normalization."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra.spectra import SpecFormer


def explicit_specformer(
    specformer: SpecFormer, spectra: dict[str, Tensor], masked: dict[str, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the tokens and embedding that `specformer` should give in training if no spectrum is missing."""
    tokens = []
    for kind, patcher in specformer.patchers.items():
        scaled = specformer.scalings[kind](spectra[kind])
        if masked is not None:
            scaled = scaled.masked_fill(masked[kind], 0.0)
        patches = scaled.unfold(1, patcher.patch_len, patcher.stride)
        projection = specformer.patch_proj[kind]
        tokens.append(patches @ projection.weight.T + projection.bias + specformer.positions[kind])
    h = torch.cat(tokens, dim=1)
    scores: Tensor | float = 0.0
    for layer in specformer.layers:
        q, k, v = (
            proj(h).reshape(*h.shape[:2], layer.num_heads, -1).transpose(1, 2)
            for proj in (layer.q_proj, layer.k_proj, layer.v_proj)
        )
        scores = q @ k.transpose(2, 3) * specformer.scale + scores  # as the released code forms them
        attended = (scores.softmax(dim=3) @ v).transpose(1, 2).reshape(h.shape)
        h = standardize(layer.attention_norm, h + layer.o_proj(attended))
        h = standardize(layer.feedforward_norm, h + layer.feedforward(h))
    return h, specformer.out_norm(specformer.out_proj(h.flatten(1)))


def standardize(norm: nn.Module, tokens: Tensor) -> Tensor:
    """Normalize each channel over all tokens of the batch, by PyTorch's own batch normalization."""
    return F.batch_norm(
        tokens.transpose(1, 2), None, None, norm.weight, norm.bias, training=True, eps=norm.eps
    ).transpose(1, 2)
