"""Lists of peaks ready for an encoder: checked, scaled, cut to the number allowed, with a record of the padding."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._validation import check_peaks, check_precursor, check_tensor
from molspectra.spectra.fields import spectra_of
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.per_spectrum_scaling import PerSpectrumScaling
from molspectra.spectra.prepared import PreparedSpectra, prepare


class PreparedPeaks(NamedTuple):
    """Peaks with scaled intensities, and which of them are no padding."""

    peaks: Float[Tensor, "batch peaks columns"]
    """Positions, scaled intensity and, if the axis has labels, the number of the class from 1 on, 0 where it is not
    known, (B, K, columns). Padding is 0."""
    present: Bool[Tensor, "batch peaks"]
    """True for peaks, False for padding, (B, K)."""


def prepare_mixed(
    spectra: Mapping[str, Tensor] | Data | PreparedSpectra,
    lengths: Mapping[str, int],
    peak_axes: Mapping[str, PeakAxis],
    scalings: Mapping[str, nn.Module] | nn.ModuleDict,
    weight: Tensor,
) -> PreparedSpectra:
    """Prepare spectra of which some are on grids and some are lists of peaks.

    Args:
        spectra: Kind → intensities (B, L_kind) or peaks (B, K, d + 1), precursors (B, 1) by the names of their fields,
            or molecules with these fields. Prepared spectra are returned as they are.
        lengths: Samples of each kind on a grid.
        peak_axes: Axis of each kind given as peaks.
        scalings: Kind → module that scales the intensities.
        weight: A weight of the encoder.

    Raises:
        TypeError: the spectra are no dict, or a dtype is wrong.
        ValueError: there is none, a kind is unknown, batch sizes differ, or a spectrum does not fit its axis (see
            :func:`molspectra._validation.check_spectra` and :func:`molspectra._validation.check_peaks`).
    """
    if isinstance(spectra, PreparedSpectra):
        return spectra
    if not peak_axes:
        return prepare(spectra, lengths, scalings, weight, partial=True)
    precursors = precursor_fields(peak_axes.values())
    if isinstance(spectra, Data):
        known = {name: spectra[name] for name in precursors if name in spectra}
        spectra = spectra_of(spectra, [*lengths, *peak_axes]) | known
    size = _batch_size(spectra, [*lengths, *peak_axes], precursors)
    grids = {kind: spectra[kind] for kind in lengths if kind in spectra}
    if lengths and not grids:
        kind, length = next(iter(lengths.items()))
        grids[kind] = weight.new_full((size, length), torch.nan)
    of_grids = prepare(grids, lengths, scalings, weight, partial=True) if lengths else PreparedSpectra({}, {})
    scaled, measured = dict(of_grids.scaled), dict(of_grids.measured)
    for kind, axis in peak_axes.items():
        peaks = spectra.get(kind)
        if peaks is None:
            peaks = weight.new_full((size, 1, axis.num_positions + 1), torch.nan, dtype=torch.float32)
        scaled[kind], measured[kind] = prepare_peaks(kind, peaks, axis, scalings[kind])
    for name in precursors:
        if name in spectra:
            check_precursor(f"spectra[{name!r}]", spectra[name])
            scaled[name] = spectra[name].reshape(-1, 1)
            measured[name] = ~scaled[name].isnan()
    return PreparedSpectra(scaled, measured)


def prepare_peaks(kind: str, peaks: Tensor, axis: PeakAxis, scaling: nn.Module) -> PreparedPeaks:
    """Check peaks, keep the strongest ones if there are too many, and scale their intensities.

    Args:
        kind: Kind of spectrum.
        peaks: Positions and an intensity, (B, K, d + 1), with a class (B, K, d + 2) if the axis has labels. Rows of NaN
            are padding.
        axis: Axis of the peaks.
        scaling: Module that scales intensities (B, K).

    Returns:
        The peaks, at least one (of padding) for each spectrum.

    Raises:
        TypeError: the peaks are no tensor of float32 or float64.
        ValueError: they do not fit the axis (see :func:`molspectra._validation.check_peaks`).
    """
    check_peaks(kind, peaks, axis)
    d = axis.num_positions
    if peaks.shape[1] == 0:
        peaks = nn.functional.pad(peaks, (0, 0, 0, 1), value=torch.nan)
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


def precursor_fields(axes: Iterable[PeakAxis]) -> list[str]:
    """Return the names of the fields with the m/z of precursors, each once."""
    return list(dict.fromkeys(axis.precursor for axis in axes if axis.precursor is not None))


def _batch_size(spectra: Mapping[str, Tensor], kinds: list[str], precursors: list[str]) -> int:
    """Return the number of spectra of each kind.

    Raises:
        TypeError: the spectra are no dict of tensors.
        ValueError: there is none, a kind is unknown, or the numbers differ.
    """
    if not isinstance(spectra, Mapping):
        raise TypeError(
            "spectra must be a dict from kinds to tensors, or molecules with fields of these names; got a "
            f"{type(spectra).__name__}."
        )
    if unknown := [kind for kind in spectra if kind not in (*kinds, *precursors)]:
        raise ValueError(f"Unknown kind of spectrum {unknown[0]!r}; expected some of {sorted([*kinds, *precursors])}.")
    for kind, value in spectra.items():
        check_tensor(f"spectra[{kind!r}]", value)
    sizes = {kind: len(value) for kind, value in spectra.items() if value.dim() > 0}
    if not set(sizes) - set(precursors):
        raise ValueError(f"spectra is empty; expected at least one of {sorted(kinds)}.")
    size = next(iter(sizes.values()))
    if any(other != size for other in sizes.values()):
        raise ValueError(f"spectra must have one batch size; got {sizes}.")
    if size == 0:
        raise ValueError("spectra hold no samples (batch size 0); expected at least one. Skip empty batches.")
    return size
