"""Lists of peaks ready for an encoder: checked, scaled, cut to the number allowed, with a record of the padding."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from molspectra._validation import check_peaks
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.per_spectrum_scaling import PerSpectrumScaling


class PreparedPeaks(NamedTuple):
    """Peaks with scaled intensities, and which of them are no padding."""

    peaks: Float[Tensor, "batch peaks columns"]
    """Positions, scaled intensity and, if the axis has labels, the number of the class from 1 on, 0 where it is not
    known, (B, K, columns). Padding is 0."""
    present: Bool[Tensor, "batch peaks"]
    """True for peaks, False for padding, (B, K)."""


def prepare_peaks(kind: str, peaks: Tensor, axis: PeakAxis, scaling: nn.Module) -> PreparedPeaks:
    """Check peaks, keep the strongest ones if there are too many, and scale their intensities.

    Args:
        kind: Kind of spectrum.
        peaks: Positions and an intensity, (B, K, d + 1), with a class (B, K, d + 2) if the axis has labels. Rows of NaN
            are padding.
        axis: Axis of the peaks.
        scaling: Module that scales intensities (B, K), NaN in padding.

    Returns:
        The peaks, at least one (of padding) for each spectrum.

    Raises:
        TypeError: the peaks are no tensor of float32 or float64.
        ValueError: they do not fit the axis (see :func:`molspectra._validation.check_peaks`).
    """
    check_peaks(kind, peaks, axis)
    d = axis.num_positions
    if peaks.shape[1] == 0:
        peaks = missing_peaks(peaks, axis)
    if axis.labels and peaks.shape[2] == d + 1:
        peaks = nn.functional.pad(peaks, (0, 1), value=torch.nan)
    if axis.max_peaks is not None and axis.excess == "strongest" and peaks.shape[1] > axis.max_peaks:
        peaks = strongest_peaks(peaks, d, axis.max_peaks)
    present = ~peaks[..., : d + 1].isnan().any(dim=-1)
    position, intensity = peaks[..., :d], peaks[..., d]
    # Statistics of a spectrum leave out NaN by themselves. In other scalings its gradient would be NaN · 0 = NaN.
    fill = torch.nan if isinstance(scaling, PerSpectrumScaling) else 0.0
    scaled = scaling(intensity.masked_fill(~present, fill)).masked_fill(~present, 0.0)
    columns = [position.masked_fill(~present.unsqueeze(-1), 0.0), scaled.unsqueeze(-1)]
    if axis.labels:
        columns.append((peaks[..., d + 1 :] + 1).nan_to_num(0.0))
    return PreparedPeaks(torch.cat(columns, dim=-1), present)


def missing_peaks(like: Tensor, axis: PeakAxis) -> Tensor:
    """Return lists of one peak of padding, (B, 1, d + 1), for the batch size of a tensor."""
    return like.new_full((like.shape[0], 1, axis.num_positions + 1), torch.nan)


def strongest_peaks(
    peaks: Float[Tensor, "batch peaks columns"], num_positions: int, count: int
) -> Float[Tensor, "batch count columns"]:
    """Keep the peaks of largest |intensity| of each spectrum, whatever the order of the list.

    Among peaks of equal intensity, those at lower positions are kept.

    Args:
        peaks: Positions, intensity and further columns, (B, K, columns), padded with NaN.
        num_positions: Number of positions d.
        count: Number of peaks to keep.
    """
    height = peaks[..., num_positions].detach().abs().nan_to_num(-1.0)
    order = torch.arange(peaks.shape[1], device=peaks.device).expand(peaks.shape[:2])
    # Stable sorts, the least important key first.
    for key in [*peaks[..., :num_positions].detach().unbind(-1)[::-1], -height]:
        order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    return peaks.gather(1, order[:, :count, None].expand(-1, -1, peaks.shape[2]))
