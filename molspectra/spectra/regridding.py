"""Spectra on any grid, brought onto that of an encoder."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from molspectra._validation import check_tensor
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.patching import SpectrumPatcher
from molspectra.spectra.resampling import resample

_ROUNDING = 1e-3  # part of a step by which an end of an axis may be wrong


def regrid_all(
    spectra: Mapping[str, Tensor],
    given: Mapping[str, SpectrumAxis | Tensor],
    axes: Mapping[str, SpectrumAxis],
    kinds: Collection[str],
    patchers: Mapping[str, SpectrumPatcher],
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Bring those spectra whose axes are given onto the grids of an encoder.

    Args:
        spectra: Kind → intensities (B, K).
        given: Kind → axis of the spectra, or positions (K,) of their samples.
        axes: Kind → axis of the encoder, where it is known.
        kinds: Kinds of the encoder that are on grids.
        patchers: Kind → patcher, of kinds that are read beyond the axis of the encoder as well (see `regrid`).

    Returns:
        All spectra, and the number of the first sample on the grid of the encoder of those that were brought there.

    Raises:
        TypeError: an axis or a spectrum is something else.
        ValueError: a kind or its axis is unknown, or see `regrid`.
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            "axes must map kinds to axes, as in {'ir': molspectra.data.SpectrumAxis(...)}; got a "
            f"{type(given).__name__}."
        )
    if unknown := set(given) - set(kinds):
        raise ValueError(
            f"axes has the unknown kinds {sorted(unknown)}; expected some of {list(kinds)}, which are on grids."
        )
    if not isinstance(spectra, Mapping):
        raise TypeError(f"spectra must be a dict from kinds to intensities (B, K); got a {type(spectra).__name__}.")
    if lacking := [kind for kind in given if kind not in axes]:
        raise ValueError(
            f"axes of {lacking} cannot be compared with those of the encoder, which was built with numbers of samples. "
            f"Build it with axes, as in {{{lacking[0]!r}: molspectra.data.SpectrumAxis(...)}}."
        )
    spectra, first = dict(spectra), {}
    for kind in given:
        if kind in spectra:
            spectra[kind], first[kind] = regrid(kind, spectra[kind], given[kind], axes[kind], patchers.get(kind))
    return spectra, first


def regrid(
    kind: str, spectrum: Tensor, given: SpectrumAxis | Tensor, axis: SpectrumAxis, patcher: SpectrumPatcher | None
) -> tuple[Tensor, int]:
    """Bring spectra from the grid they are given on to that of an encoder, on their device.

    Heights are interpolated linearly. Where samples are nearer to each other than those of the encoder, their averages
    over its bins conserve the area instead, so that no narrow line is dropped.

    Args:
        kind: Kind of spectrum.
        spectrum: Intensities, (B, K).
        given: Their axis, or the positions (K,) of their samples in the unit of `axis`.
        axis: Axis of the encoder.
        patcher: Patcher of the encoder, whose patches go on beyond the ends of `axis` at equal distances. The whole
            patches within the given range are read. None reads `axis` and no more, NaN beyond the given range.

    Returns:
        Intensities (B, L), and the number of their first sample on the grid of the encoder.

    Raises:
        TypeError: the axis or the spectrum is something else.
        ValueError: they do not fit each other, the unit is another one, or the ranges do not overlap.
    """
    check_tensor(f"spectra[{kind!r}]", spectrum)
    low, high, spacing, length = _range(kind, given, axis)
    if spectrum.dim() != 2 or spectrum.shape[1] != length:
        raise ValueError(
            f"spectra[{kind!r}] must have shape (B, {length}), a column for each sample of axes[{kind!r}]; got "
            f"{tuple(spectrum.shape)}."
        )
    if isinstance(given, SpectrumAxis) and is_same_grid(given, axis):
        return spectrum, 0
    if high < axis.start or low > axis.stop:
        raise ValueError(
            f"axes[{kind!r}] must overlap the axis of the encoder, {axis.start:g} to {axis.stop:g} {axis.unit}; got "
            f"{low:g} to {high:g}. Convert positions in another unit: 1e7 / λ gives cm^-1 and 1239.84 / λ eV for λ in "
            "nm."
        )
    first, target = (0, axis) if patcher is None else _whole_patches(kind, low, high, axis, patcher)
    finer = spacing < axis.step * (1 - _ROUNDING)
    return resample(spectrum, given, target, conserve_area=finer), first


def whole_patches(
    kind: str, given: SpectrumAxis | Tensor, axis: SpectrumAxis, patcher: SpectrumPatcher
) -> tuple[int, SpectrumAxis]:
    """Return the first sample and the axis of the patches that lie within the range of the given axis.

    Raises:
        TypeError: the given axis is something else.
        ValueError: its unit is another one, or no patch fits.
    """
    low, high, _, _ = _range(kind, given, axis)
    if isinstance(given, SpectrumAxis) and is_same_grid(given, axis):
        return 0, axis
    return _whole_patches(kind, low, high, axis, patcher)


def is_same_grid(one: SpectrumAxis, other: SpectrumAxis) -> bool:
    """Return True if the samples of two axes lie at the same places, whatever the axes are called."""
    return (one.start, one.stop, one.step, one.unit) == (other.start, other.stop, other.step, other.unit)


def _whole_patches(
    kind: str, low: float, high: float, axis: SpectrumAxis, patcher: SpectrumPatcher
) -> tuple[int, SpectrumAxis]:
    """Return the first sample and the axis of the patches that lie within a range."""
    first = math.ceil(((low - axis.start) / axis.step - _ROUNDING) / patcher.stride)
    last = math.floor(((high - axis.start) / axis.step + _ROUNDING - patcher.patch_len + 1) / patcher.stride)
    if last < first:
        raise ValueError(
            f"axes[{kind!r}] must hold a whole patch of {patcher.patch_len * axis.step:g} {axis.unit}, one of which "
            f"begins every {patcher.stride * axis.step:g} from {axis.start:g}; got {low:g} to {high:g}. Give the "
            "spectrum with more of its range, or build the encoder with shorter patches."
        )
    start, length = first * patcher.stride, (last - first) * patcher.stride + patcher.patch_len
    return start, part_of(axis, start, length)


def part_of(axis: SpectrumAxis, first: int, length: int) -> SpectrumAxis:
    """Return an axis of some of the samples of another one, which is thought to go on beyond its ends."""
    if (first, length) == (0, axis.length):
        return axis
    low, high = axis.start + axis.step * first, axis.start + axis.step * (first + length - 1)
    return SpectrumAxis(axis.name, low, high, axis.step, axis.unit)


def _range(kind: str, given: SpectrumAxis | Tensor, axis: SpectrumAxis) -> tuple[float, float, float, int]:
    """Return lowest and highest position, least distance and number of samples."""
    if isinstance(given, SpectrumAxis):
        if given.unit != axis.unit:
            raise ValueError(
                f"axes[{kind!r}] must be in {axis.unit}, the unit of the encoder's axis; got {given.unit}. Pass the "
                f"positions of the samples in {axis.unit} as a tensor."
            )
        return given.start, given.stop, given.step, given.length
    if not isinstance(given, Tensor):
        raise TypeError(
            f"axes[{kind!r}] must be a SpectrumAxis, or the positions (K,) of the samples as a tensor; got "
            f"{given!r:.80}."
        )
    if given.dim() != 1 or given.shape[0] < 2 or given.is_complex() or given.dtype == torch.bool:
        raise ValueError(
            f"axes[{kind!r}] must be the positions (K,) of at least two samples; got a tensor of shape "
            f"{tuple(given.shape)} and type {given.dtype}."
        )
    steps = given.detach().double().diff()
    if not bool((steps > 0).all() or (steps < 0).all()) or not bool(given.isfinite().all()):
        raise ValueError(
            f"axes[{kind!r}] must be finite and strictly ascending or strictly descending; it is not. Sort positions "
            "and spectrum (order = positions.argsort()), and merge samples of ranges that overlap."
        )
    ends = sorted((float(given[0]), float(given[-1])))
    return ends[0], ends[1], float(steps.abs().min()), given.shape[0]
