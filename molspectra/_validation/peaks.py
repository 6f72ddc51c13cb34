"""Checks of spectra that are lists of peaks."""

from typing import Any

import torch
from torch import Tensor

from molspectra._validation.values import values_are_free


def check_peaks(kind: str, peaks: Tensor, axis: Any) -> None:
    """Check that peaks fit their axis.

    Args:
        kind: Kind of spectrum.
        peaks: Positions and an intensity, (B, K, d + 1), with a class (B, K, d + 2) if the axis has labels.
        axis: Its :class:`~molspectra.data.PeakAxis`.

    Raises:
        TypeError: the peaks are no tensor of float32 or float64.
        ValueError: another shape, or (checked for CPU tensors) an infinite value, a row that is NaN in part, a position
            beyond the ranges, an unknown class or more peaks than allowed.
    """
    name, d = f"spectra[{kind!r}]", axis.num_positions
    form = f"(B, K, {d + 1}): {d} position{'s' if d > 1 else ''} and the intensity of each peak"
    if axis.labels:
        form += f", or (B, K, {d + 2}) with the number of the class"
    if not isinstance(peaks, Tensor):
        raise TypeError(
            f"{name} must be a tensor of shape {form}; got {type(peaks).__name__}. Pad lists of different length with "
            "rows of NaN, as molspectra.data.Collate does."
        )
    if peaks.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} must be float32 or float64, since half precision rounds positions; got {peaks.dtype}. Convert "
            "with peaks.float()."
        )
    if peaks.dim() == 2 and peaks.shape[1] in (d + 1, axis.num_columns):
        raise ValueError(
            f"{name} must have shape {form}; got {tuple(peaks.shape)}. For one spectrum pass peaks.unsqueeze(0)."
        )
    if peaks.dim() != 3 or peaks.shape[2] not in (d + 1, axis.num_columns):
        raise ValueError(
            f"{name} must have shape {form}; got {tuple(peaks.shape)}. A spectrum on a grid needs a SpectrumAxis."
        )
    if values_are_free(peaks):
        _check_values(name, peaks.detach(), axis)


def check_precursor(name: str, precursor: Tensor) -> None:
    """Check the m/z of fragmented ions.

    Raises:
        TypeError: it is no tensor of float32 or float64.
        ValueError: another shape than (B,) or (B, 1), or (checked for CPU tensors) a value that is not positive.
    """
    if not isinstance(precursor, Tensor) or precursor.dtype not in (torch.float32, torch.float64):
        got = precursor.dtype if isinstance(precursor, Tensor) else type(precursor).__name__
        raise TypeError(f"{name} must be a tensor of float32 or float64, the m/z of the precursors; got {got}.")
    if precursor.dim() not in (1, 2) or (precursor.dim() == 2 and precursor.shape[1] != 1):
        raise ValueError(f"{name} must have shape (B, 1), an m/z for each spectrum; got {tuple(precursor.shape)}.")
    if values_are_free(precursor):
        wrong = (precursor <= 0) | precursor.isinf()
        if bool(wrong.any()):
            raise ValueError(
                f"{name} must be positive and finite, or NaN where it is not known; got {float(precursor[wrong][0]):g} "
                f"in row {int(wrong.nonzero()[0, 0])}."
            )


def check_peak_mask(kind: str, hidden: Tensor | None, present: Tensor) -> None:
    """Check a mask over peaks (B, K), or None for no mask.

    Raises:
        TypeError: it is not bool.
        ValueError: it has another shape.
    """
    if hidden is None:
        return
    if hidden.dtype != torch.bool:
        raise TypeError(f"masked[{kind!r}] must be bool, True where hidden; got {hidden.dtype}.")
    if hidden.shape != present.shape:
        raise ValueError(
            f"masked[{kind!r}] must have shape {tuple(present.shape)}, a value for each peak; got {tuple(hidden.shape)}"
            ". If an axis keeps the strongest peaks, draw the mask for specformer.prepare(spectra)."
        )


def _check_values(name: str, peaks: Tensor, axis: Any) -> None:
    d = axis.num_positions
    columns = peaks[..., : d + 1]
    absent = columns.isnan().all(dim=-1)
    broken = columns.isinf().any(dim=-1) | (columns.isnan().any(dim=-1) & ~absent)
    if bool(broken.any()):
        row, peak = broken.nonzero()[0].tolist()
        raise ValueError(
            f"{name} row {row} has the peak {peaks[row, peak].tolist()}; expected finite numbers, or NaN in all of "
            "them for padding. Set intensities that are not known to 1, and drop peaks without a position."
        )
    for column, ((low, high), unit) in enumerate(zip(axis.ranges, axis.units, strict=True)):
        position = peaks[..., column]
        outside = ~absent & ((position < low) | (position > high))
        if bool(outside.any()):
            row, peak = outside.nonzero()[0].tolist()
            found = float(position[row, peak])
            remedy = (
                "A mass-to-charge ratio is positive: pass the polarity by another kind."
                if unit == "m/z" and found < 0
                else f"Widen ranges of the PeakAxis {axis.name!r}, or drop these peaks."
            )
            raise ValueError(
                f"{name} row {row} has a peak at {found:g} {unit}, beyond the range {low:g} to {high:g} {unit}. "
                f"{remedy}"
            )
    if peaks.shape[-1] > d + 1:
        label = peaks[..., d + 1]
        wrong = ~absent & ~label.isnan() & ((label != label.round()) | (label < 0) | (label >= len(axis.labels)))
        if bool(wrong.any()):
            row, peak = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"{name} row {row} has a peak of the class {float(label[row, peak]):g}; expected 0 to "
                f"{len(axis.labels) - 1} for {list(axis.labels)}, or NaN where it is not known."
            )
    if axis.max_peaks is not None and axis.excess == "raise":
        count = (~absent).sum(dim=1)
        if bool((count > axis.max_peaks).any()):
            row = int((count > axis.max_peaks).nonzero()[0])
            raise ValueError(
                f"{name} row {row} has {int(count[row])} peaks; max_peaks of the PeakAxis {axis.name!r} is "
                f'{axis.max_peaks}. Raise it, or pass excess="strongest" to keep the most intense ones.'
            )
