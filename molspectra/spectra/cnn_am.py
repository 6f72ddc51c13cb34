"""CNN-AM: a convolutional spectrum encoder with channel and spatial attention."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra._config import Configurable
from molspectra.spectra.features import SpectrumFeatures
from molspectra.spectra.inputs import check_kinds, complete, for_each, scale
from molspectra.spectra.scaling import Log10Scaling


class CNNAM(Configurable, nn.Module):
    """Convolutional encoder with attention modules, which MolSpectra (arXiv:2502.16284) compares SpecFormer with.

    Each kind of spectrum is scaled and passes through convolutions of its own, each followed by GELU, channel
    attention, spatial attention (the modules of CBAM, Woo et al. 2018, arXiv:1807.06521, in one dimension) and a norm.
    The feature map, averaged over `num_sections` equal sections of the axis, which keeps where a band lies, and
    flattened, is one part of f = [f_1 ‖ … ‖ f_K], of which dense layers make the embedding
    LayerNorm(W₂ GELU(W₁ f + b₁) + b₂).

    The call and its result are those of :class:`SpecFormer`, in whose place it can stand in a contrast of your own loop
    (:class:`~molspectra.objectives.InfoNCELoss`). It has no patches to hide and reconstruct, and so no place in
    `methods.MolSpectra`. A spectrum may be missing, for a sample (a row of NaN) or for a batch (the kind is not in the
    dict): its f is 0. A sample without any spectrum gets a constant embedding. Norms are over the channels and
    positions of a sample alone, so that neither a missing spectrum nor a batch of one is a special case.

    This is the kind of encoder, not a reproduction: there are no published numbers to compare with, and layer sizes,
    norms and sections are ours.

    Args:
        lengths: Samples of each kind of spectrum.
        out_channels: Width F of the embedding.
        channels: Width of each convolution; the last is the width D of the tokens.
        kernel_size: Samples that a convolution sees; odd.
        stride: Step of each convolution: a feature map has ⌈L / stride^layers⌉ positions.
        num_sections: Sections of the axis (at most the positions) that the feature map is averaged over.
        reduction: Channels over hidden channels in the channel attention.
        scaling: Module that scales the intensities, for all kinds or for each; by default log10(1 + s).
        dropout: Dropout rate between the dense layers.

    Raises:
        ValueError: a size is out of range.

    Example:
        >>> cnn = CNNAM({"uv_vis": 601, "ir": 3501}, out_channels=64)
        >>> cnn({"uv_vis": torch.rand(2, 601), "ir": torch.rand(2, 3501)}).embedding.shape
        torch.Size([2, 64])
    """

    def __init__(
        self,
        lengths: Mapping[str, int],
        out_channels: int = 256,
        channels: Sequence[int] = (64, 128, 256),
        *,
        kernel_size: int = 9,
        stride: int = 4,
        num_sections: int = 8,
        reduction: int = 8,
        scaling: nn.Module | Mapping[str, nn.Module] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kinds = check_kinds(lengths)
        if not channels or min(channels) < 1:
            raise ValueError(f"channels must hold the width of at least one convolution; got {tuple(channels)}.")
        if kernel_size % 2 == 0 or not 1 <= stride <= kernel_size:
            raise ValueError(
                "kernel_size must be odd and stride between 1 and kernel_size, or samples would be skipped; got "
                f"kernel_size={kernel_size} and stride={stride}."
            )
        if num_sections < 1 or reduction < 1:
            raise ValueError(f"num_sections and reduction must be positive; got {num_sections} and {reduction}.")
        self.lengths = dict(lengths)
        self.hidden_channels = channels[-1]
        self.out_channels = out_channels
        self.num_tokens = {kind: math.ceil(length / stride ** len(channels)) for kind, length in lengths.items()}
        self.num_sections = {kind: min(num_sections, tokens) for kind, tokens in self.num_tokens.items()}
        self.scalings = nn.ModuleDict(for_each(kinds, "scaling", Log10Scaling() if scaling is None else scaling))
        widths = list(zip([1, *channels[:-1]], channels, strict=True))
        self.trunks = nn.ModuleDict(
            {
                kind: nn.Sequential(*(AttentiveConvolution(*width, kernel_size, stride, reduction) for width in widths))
                for kind in kinds
            }
        )
        self.dense = nn.Sequential(
            nn.Linear(sum(self.num_sections.values()) * self.hidden_channels, out_channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(out_channels, out_channels),
        )
        self.out_norm = nn.LayerNorm(out_channels)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of spectrum, in the order of their tokens."""
        return tuple(self.lengths)

    def forward(self, spectra: Mapping[str, Tensor]) -> SpectrumFeatures:
        """Encode a batch of spectra.

        Args:
            spectra: Kind → intensities (B, L_kind). A row of NaN is a missing spectrum.

        Returns:
            Tokens (B, n, D), the positions of the last feature maps, 0 where missing; embedding (B, F); and which
            tokens are present (B, n).

        Raises:
            ValueError: a kind is unknown, a shape is wrong, or (checked for CPU tensors) a row mixes NaN or infinite
                values with finite ones.
            TypeError: a dtype is not that of the weights.
        """
        spectra = self.complete(spectra)
        tokens, present, pooled = [], [], []
        for kind in self.kinds:
            scaled, missing = scale(spectra[kind], self.scalings[kind])
            features = self.trunks[kind](scaled.unsqueeze(1)).masked_fill(missing.unsqueeze(2), 0.0)
            tokens.append(features.transpose(1, 2))
            present.append((~missing).expand(-1, features.shape[2]))
            pooled.append(F.adaptive_avg_pool1d(features, self.num_sections[kind]).flatten(1))
        embedding = self.dense(torch.cat(pooled, dim=1)).to(self.out_norm.weight.dtype)
        return SpectrumFeatures(torch.cat(tokens, dim=1), self.out_norm(embedding), torch.cat(present, dim=1))

    def complete(self, spectra: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "batch length"]]:
        """Every kind: those that are absent as rows of NaN, which are missing spectra.

        Raises:
            ValueError: see `forward`.
            TypeError: a dtype is not that of the weights.
        """
        return complete(spectra, self.lengths, self.out_norm.weight)

    def split(self, tokens: Float[Tensor, "batch tokens channels"]) -> dict[str, Tensor]:
        """Tokens (B, n, D) → kind → (B, n_kind, D)."""
        return dict(zip(self.kinds, tokens.split(list(self.num_tokens.values()), dim=1), strict=True))


class AttentiveConvolution(nn.Module):
    """h ← GELU(conv h), h ← a_c ⊙ h, h ← a_x ⊙ h, h ← Norm(h), with channel and spatial attention a_c and a_x.

    The norm comes last: each attention, about ½ at first, would otherwise halve what goes on.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel_size: Positions that the convolution sees; odd.
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
        """Feature map (B, in, L) → (B, out, ⌈L / stride⌉)."""
        # Under autocast convolutions run in half precision, and the rest in the weights' own.
        hidden = F.gelu(self.conv(hidden).to(self.norm.weight.dtype))
        hidden = hidden * self.channel_attention(hidden)
        return self.norm(hidden * self.spatial_attention(hidden))


class ChannelAttention(nn.Module):
    """a_c = σ(MLP(mean_x h) + MLP(max_x h)): which channels matter, one weight a channel (CBAM, eq. 2).

    Args:
        channels: Width C of the feature map.
        reduction: C over the width of the hidden layer, which is at least 1.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden_channels = max(channels // reduction, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden_channels), nn.ReLU(), nn.Linear(hidden_channels, channels))

    def forward(self, hidden: Float[Tensor, "batch channels length"]) -> Float[Tensor, "batch channels 1"]:
        """Feature map (B, C, L) → weights in (0, 1), (B, C, 1)."""
        scores = self.mlp(hidden.mean(dim=2)) + self.mlp(hidden.amax(dim=2))
        return torch.sigmoid(scores.to(hidden.dtype)).unsqueeze(2)


class SpatialAttention(nn.Module):
    """a_x = σ(conv [mean_c h ‖ max_c h]): which positions matter, one weight a position (CBAM, eq. 3).

    Args:
        kernel_size: Positions that the convolution sees; odd.
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, hidden: Float[Tensor, "batch channels length"]) -> Float[Tensor, "batch 1 length"]:
        """Feature map (B, C, L) → weights in (0, 1), (B, 1, L)."""
        descriptors = torch.stack([hidden.mean(dim=1), hidden.amax(dim=1)], dim=1)
        return torch.sigmoid(self.conv(descriptors).to(hidden.dtype))
