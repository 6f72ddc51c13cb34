"""Tokens of a spectrum that is a list of peaks."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_sizes, check_tensor, check_tensors
from molspectra.spectra.fourier_features import FourierFeatures
from molspectra.spectra.peak_axis import PeakAxis, check_peak_axis

# Intensities around which an arcsinh turns from linear to logarithmic: base peaks, and those of a 1000th of them.
_INTENSITIES = (1.0, 0.03, 0.001)


class PeakTokens(Configurable, nn.Module):
    """Token of each peak, from Fourier features of its positions and its intensity.

    t = W₂ GELU(W₁ [φ(x₁) ‖ … ‖ φ(x_d) ‖ asinh(s / u)] + b₁) + b₂ + v, with :class:`FourierFeatures` φ from the range
    down to the resolution of the axis, the intensity s on three scales u, and a learned vector v of the kind. The class
    of a peak adds a learned vector of its own.

    Where the axis names a precursor, its m/z is one more token, and the mass that it lost to each peak is another one,
    through the same map with vectors of their own.

    The token of a hidden peak is one learned vector: neither position nor intensity nor class is told, and the token of
    its neutral loss is absent.

    Args:
        axis: Axis of the peaks.
        channels: Width D of the tokens.

    Example:
        >>> tokens = PeakTokens(ms.data.PeakAxis("c_nmr", "ppm", (-20, 240)), channels=32)
        >>> peaks = torch.tensor([[[77.2, 1.0], [128.4, 0.6], [0.0, 0.0]]])
        >>> found, valid = tokens(peaks, torch.tensor([[True, True, False]]))
        >>> found.shape, valid
        (torch.Size([1, 3, 32]), tensor([[ True,  True, False]]))
    """

    def __init__(self, axis: PeakAxis, channels: int) -> None:
        super().__init__()
        check_peak_axis("axis", axis)
        check_sizes(channels=channels)
        self.axis = axis
        self.channels = channels
        spans = [high - low for low, high in axis.ranges]
        self.positions = nn.ModuleList(map(FourierFeatures, spans, axis.resolutions))
        width = sum(features.num_features for features in self.positions) + len(_INTENSITIES)  # type: ignore[misc]
        self.proj = nn.Sequential(nn.Linear(width, channels), nn.GELU(), nn.Linear(channels, channels))
        self.kind = nn.Parameter(torch.empty(channels))
        self.hidden = nn.Parameter(torch.empty(channels))
        self.label = nn.Embedding(len(axis.labels) + 1, channels) if axis.labels else None
        has_losses = axis.precursor is not None and axis.neutral_losses
        self.precursor = nn.Parameter(torch.empty(channels)) if axis.precursor is not None else None
        self.loss = nn.Parameter(torch.empty(channels)) if has_losses else None
        for vector in (self.kind, self.hidden, self.precursor, self.loss):
            if vector is not None:
                nn.init.uniform_(vector, -0.02, 0.02)

    def forward(
        self,
        peaks: Float[Tensor, "batch peaks columns"],
        present: Bool[Tensor, "batch peaks"],
        hidden: Bool[Tensor, "batch peaks"] | None = None,
        precursor: Float[Tensor, "batch 1"] | None = None,
    ) -> tuple[Float[Tensor, "batch tokens channels"], Bool[Tensor, "batch tokens"]]:
        """Make tokens of peaks.

        Args:
            peaks: Positions, scaled intensity and, if the axis has labels, the number of the class from 1 on, 0 where
                it is not known, (B, K, columns). Absent peaks have any finite values.
            present: True for peaks, False for padding, (B, K).
            hidden: True for hidden peaks, (B, K).
            precursor: The m/z of the precursor, (B, 1), NaN where it is not known, or None if it never is.

        Returns:
            Tokens (B, n, D), and which of them are valid, (B, n). The K peaks come first, then the K neutral losses and
            the precursor, if the axis has them.
        """
        check_tensors(peaks=peaks, present=present)
        for name, value in (("hidden", hidden), ("precursor", precursor)):
            if value is not None:
                check_tensor(name, value)
        d = self.axis.num_positions
        position, intensity = peaks[..., :d], peaks[..., d]
        token = self._embed(position, intensity) + self.kind
        if self.label is not None:
            token = token + self.label(peaks[..., d + 1].long())
        if hidden is not None:
            token = torch.where(hidden.unsqueeze(-1), (self.hidden + self.kind).to(token.dtype), token)
        if self.precursor is None:
            return token, present
        if precursor is None:
            precursor = torch.full_like(position[:, :1, 0], torch.nan)
        known = ~precursor.isnan()
        mass = precursor.masked_fill(~known, 0.0)
        tokens, valid = [token], [present]
        if self.loss is not None:
            tokens.append(self._embed(mass.unsqueeze(-1) - position, intensity) + self.loss)
            valid.append(present & known if hidden is None else present & known & ~hidden)
        tokens.append(self._embed(mass.unsqueeze(-1), torch.zeros_like(mass)) + self.precursor)
        return torch.cat(tokens, dim=1), torch.cat([*valid, known], dim=1)

    def _embed(self, position: Tensor, intensity: Tensor) -> Tensor:
        """Map positions (B, K, d) and scaled intensities (B, K) to vectors (B, K, D)."""
        scales = [torch.asinh(intensity / unit) / math.asinh(1 / unit) for unit in _INTENSITIES]
        phases = [features(x) for features, x in zip(self.positions, position.unbind(-1), strict=True)]
        features = torch.cat([*phases, torch.stack(scales, dim=-1).to(position.dtype)], dim=-1)
        return self.proj(features.to(self.kind.dtype))


def tokens_of_peaks(axis: PeakAxis, num_peaks: int) -> int:
    """Return the number of tokens of K peaks: one for each, and with a precursor one for each loss and its own."""
    if axis.precursor is None:
        return num_peaks
    return num_peaks * (2 if axis.neutral_losses else 1) + 1
