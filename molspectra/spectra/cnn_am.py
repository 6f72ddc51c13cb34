"""CNN-AM: a convolutional spectrum encoder with channel and spatial attention."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import check_probability, check_sizes
from molspectra.layers.layer_norm import LayerNorm
from molspectra.spectra.attentive_convolution import AttentiveConvolution
from molspectra.spectra.encoder import SpectrumEncoder
from molspectra.spectra.features import SpectrumFeatures
from molspectra.spectra.kinds import axes_of, check_kinds, for_each
from molspectra.spectra.prepared import PreparedSpectra
from molspectra.spectra.scaling import Log10Scaling


class CNNAM(Configurable, SpectrumEncoder):
    """Convolutional encoder with attention modules, which MolSpectra (arXiv:2502.16284) compares SpecFormer with.

    Each kind of spectrum is scaled and passes through convolutions of its own, each followed by GELU, channel
    attention, spatial attention (the modules of CBAM, Woo et al. 2018, arXiv:1807.06521, in one dimension) and a norm.
    The feature map is averaged over `num_sections` equal sections of the axis, which keeps where a band lies, and
    flattened to f_k. Dense layers map f = [f_1 ‖ … ‖ f_K] to the embedding LayerNorm(W₂ GELU(W₁ f + b₁) + b₂).

    Call and result are those of :class:`SpecFormer`, which it can replace in a contrast of your own loop
    (:class:`~molspectra.objectives.InfoNCELoss`). It has no patches to hide and reconstruct, so that
    `methods.MolSpectra` cannot use it. A spectrum may be missing, in a sample (a row of NaN) or in a batch (the kind is
    not in the dict): its f_k is 0. A sample without any spectrum gets a constant embedding. Norms are over the channels
    and positions of a sample alone, so that neither a missing spectrum nor a batch of one is a special case.

    No numbers of the paper's CNN-AM are published to compare with: layer sizes, norms and sections are ours.

    Args:
        lengths: Axis of each kind of spectrum, or its number of samples.
        out_channels: Width F of the embedding.
        channels: Width of each convolution. The last is the width D of the tokens.
        kernel_size: Samples that a convolution sees, odd.
        stride: Step of each convolution: a feature map has ⌈L / stride^layers⌉ positions.
        num_sections: Sections of the axis (at most the positions) that the feature map is averaged over.
        reduction: Channels over hidden channels in the channel attention.
        scaling: Module that scales the intensities, for all kinds or for each, by default log10(1 + s).
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
        lengths: Mapping[str, Any],
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
        check_probability("dropout", dropout)
        check_sizes(num_sections=num_sections, reduction=reduction)
        self.lengths = kinds
        self.axes = axes_of(lengths)
        self.hidden_channels = channels[-1]
        self.out_channels = out_channels
        self.total_stride = stride ** len(channels)
        self.num_sections = {kind: min(num_sections, tokens) for kind, tokens in self.num_tokens.items()}
        self.scalings = nn.ModuleDict(for_each(kinds, "scaling", Log10Scaling() if scaling is None else scaling))
        widths = list(zip([1, *channels[:-1]], channels, strict=True))
        # Convolutions of its own for each kind: line widths, in samples, differ between kinds of spectrum.
        self.trunks = nn.ModuleDict(
            {
                kind: nn.Sequential(*(AttentiveConvolution(*width, kernel_size, stride, reduction) for width in widths))
                for kind in kinds
            }
        )
        # Strides shorten the axis: the dense layers see a few sections of it, not thousands of samples.
        self.dense = nn.Sequential(
            nn.Linear(sum(self.num_sections.values()) * self.hidden_channels, out_channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(out_channels, out_channels),
        )
        self.out_norm = LayerNorm(out_channels)

    @property
    def num_tokens(self) -> dict[str, int]:
        """Number of positions of the last feature map of each kind."""
        return {kind: math.ceil(length / self.total_stride) for kind, length in self.lengths.items()}

    @property
    def token_samples(self) -> dict[str, Float[Tensor, " tokens"]]:
        """Center of the field of view of each position, in samples."""
        return {
            kind: self.total_stride * torch.arange(count, dtype=torch.float64, device="cpu")
            for kind, count in self.num_tokens.items()
        }

    def forward(self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra) -> SpectrumFeatures:
        """Encode a batch of spectra.

        Args:
            spectra: Kind → intensities (B, L_kind), a row of NaN for a missing spectrum, or molecules (a Data or Batch)
                with these fields, or spectra that `prepare` has scaled.

        Returns:
            Tokens (B, n, D), positions of the last feature maps (0 where missing), the embedding (B, F), and
            the valid tokens (B, n).

        Raises:
            ValueError: a kind is unknown, a shape is wrong, or (checked for CPU tensors) a row mixes NaN or infinite
                values with finite ones.
            TypeError: a dtype differs from that of the weights.
        """
        prepared = self.prepare(spectra)
        tokens, valid, pooled = [], [], []
        for kind in self.kinds:
            with record_function("molspectra::cnn_am.convolutions"):
                is_valid = prepared.measured[kind][:, :1]
                # Biases make something even of a spectrum of zeros: a missing one is cleared after the convolutions.
                features = self.trunks[kind](prepared.scaled[kind].unsqueeze(1))
                features = features.masked_fill(~is_valid.unsqueeze(2), 0.0)
            tokens.append(features.transpose(1, 2))
            valid.append(is_valid.expand(-1, features.shape[2]))
            # An average over the whole axis would forget where a band lies, its main chemical information.
            pooled.append(F.adaptive_avg_pool1d(features, self.num_sections[kind]).flatten(1))
        with record_function("molspectra::cnn_am.embedding"):
            embedding = self.out_norm(self.dense(torch.cat(pooled, dim=1)).to(features.dtype))
        return SpectrumFeatures(torch.cat(tokens, dim=1), embedding, torch.cat(valid, dim=1))
