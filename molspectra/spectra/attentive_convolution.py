"""Convolution with channel and spatial attention, the modules of CBAM in one dimension."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class AttentiveConvolution(nn.Module):
    """h ← GELU(conv h), h ← a_c ⊙ h, h ← a_x ⊙ h, h ← Norm(h), with channel and spatial attention a_c and a_x.

    The norm comes last, for each attention is about ½ at first and would halve the signal from layer to layer.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Positions that the convolution sees, odd.
        stride: Its step.
        reduction: See :class:`ChannelAttention`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
        self.norm = nn.GroupNorm(1, out_channels)
        self.channel_attention = ChannelAttention(out_channels, reduction)
        self.spatial_attention = SpatialAttention()

    def forward(self, hidden: Float[Tensor, "batch in length"]) -> Float[Tensor, "batch out shorter"]:
        """Map a feature map (B, in, L) to (B, out, ⌈L / stride⌉)."""
        # Under autocast convolutions run in half precision, and the rest in that of the input.
        hidden = F.gelu(self.conv(hidden).to(hidden.dtype))
        hidden = hidden * self.channel_attention(hidden)
        return self.norm(hidden * self.spatial_attention(hidden))


class ChannelAttention(nn.Module):
    """Weights of channels, a_c = σ(MLP(mean_x h) + MLP(max_x h)) (CBAM, Woo et al. 2018, arXiv:1807.06521, eq. 2).

    Args:
        channels: Width C of the feature map.
        reduction: C over the width of the hidden layer, which is at least 1.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden_channels = max(channels // reduction, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden_channels), nn.ReLU(), nn.Linear(hidden_channels, channels))

    def forward(self, hidden: Float[Tensor, "batch channels length"]) -> Float[Tensor, "batch channels 1"]:
        """Return a weight in (0, 1) per channel of a feature map (B, C, L), (B, C, 1)."""
        # The mean tells how much of the axis a band covers, the maximum finds a single sharp line.
        scores = self.mlp(hidden.mean(dim=2)) + self.mlp(hidden.amax(dim=2))
        return torch.sigmoid(scores.to(hidden.dtype)).unsqueeze(2)


class SpatialAttention(nn.Module):
    """Weights of positions, a_x = σ(conv [mean_c h ‖ max_c h]) (CBAM, Woo et al. 2018, arXiv:1807.06521, eq. 3).

    Args:
        kernel_size: Positions that the convolution sees, odd.
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, hidden: Float[Tensor, "batch channels length"]) -> Float[Tensor, "batch 1 length"]:
        """Return a weight in (0, 1) per position of a feature map (B, C, L), (B, 1, L)."""
        descriptors = torch.stack([hidden.mean(dim=1), hidden.amax(dim=1)], dim=1)
        return torch.sigmoid(self.conv(descriptors).to(hidden.dtype))
