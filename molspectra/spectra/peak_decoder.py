"""Reconstruction of hidden peaks from tokens."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._repr import fields_repr
from molspectra._validation import check_channels, check_sizes, check_tensors_by_kind
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.peak_bins import PeakBins


class PeakPrediction(NamedTuple):
    """Prediction of hidden peaks."""

    logits: Float[Tensor, "batch peaks bins"]
    """Logarithm of the probability of each bin of positions, up to a constant, (B, K, n)."""
    intensity: Float[Tensor, "batch peaks bins"]
    """Scaled intensity of a peak, if it is in that bin, (B, K, n)."""

    def __repr__(self) -> str:
        return fields_repr(self)


class PeakDecoder(Configurable, nn.Module):
    """Map per kind of spectrum from the token of a hidden peak to its position, as a distribution, and its intensity.

    All hidden peaks of a list have one token, since nothing tells them apart, and therefore one distribution. Its best
    value is the distribution of hidden peaks given the visible ones. The intensity is predicted for each bin, as that
    of a peak at this place.

    Args:
        channels: Width D of the tokens.
        axes: Axis of each kind that is given as peaks.
        num_bins: Number of bins of positions, see :class:`PeakBins`.
    """

    def __init__(self, channels: int, axes: Mapping[str, PeakAxis], num_bins: int = 1024) -> None:
        super().__init__()
        check_sizes(num_bins=num_bins)
        self.channels = channels
        self.bins = {kind: PeakBins(axis, num_bins) for kind, axis in axes.items()}
        self.projections = nn.ModuleDict({kind: nn.Linear(channels, 2 * of.number) for kind, of in self.bins.items()})

    def forward(self, tokens: Mapping[str, Tensor]) -> dict[str, PeakPrediction]:
        """Map kind → tokens of peaks (B, K, D) to kind → predictions."""
        check_tensors_by_kind("tokens", tokens)
        predictions = {}
        for kind, of_kind in tokens.items():
            check_channels("PeakDecoder", of_kind.shape[-1], self.channels)
            predictions[kind] = PeakPrediction(*self.projections[kind](of_kind).chunk(2, dim=-1))
        return predictions
