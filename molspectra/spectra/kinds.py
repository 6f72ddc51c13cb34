"""Kinds of spectrum that an encoder is built for, and constructor arguments given for each kind."""

import copy
from collections.abc import Collection, Mapping
from typing import Any

from molspectra._validation import check_module_names, check_sizes, lengths_of
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.prepared_peaks import precursor_fields


def check_mixed_kinds(
    lengths: Mapping[str, int | SpectrumAxis | PeakAxis],
) -> tuple[dict[str, int], dict[str, PeakAxis]]:
    """Return the number of samples of each kind on a grid, and the axis of each kind given as peaks, in order.

    Raises:
        TypeError: `lengths` is no mapping from kinds to numbers of samples or axes.
        ValueError: it is empty, a kind cannot be the name of a module, or the field of a precursor is a kind as well.
    """
    if not isinstance(lengths, Mapping) or not any(isinstance(axis, PeakAxis) for axis in lengths.values()):
        return check_kinds(lengths), {}
    check_module_names("lengths", lengths)
    peak_axes = {kind: axis for kind, axis in lengths.items() if isinstance(axis, PeakAxis)}
    if taken := [name for name in precursor_fields(peak_axes.values()) if name in lengths]:
        raise ValueError(f"precursor must name a field of its own; {taken[0]!r} is a kind of spectrum. Rename one.")
    grids = {kind: axis for kind, axis in lengths.items() if kind not in peak_axes}
    return check_kinds(grids) if grids else {}, peak_axes


def check_kinds(lengths: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of samples of each kind of spectrum, in order.

    Raises:
        TypeError: `lengths` is no mapping from kinds to numbers of samples or axes.
        ValueError: it is empty, or a kind cannot be the name of a module.
    """
    counted = lengths_of(lengths)
    check_module_names("lengths", counted)
    return counted


def axes_of(lengths: Mapping[str, Any]) -> dict[str, SpectrumAxis]:
    """Return the axes of those kinds that are given by an axis."""
    return {kind: axis for kind, axis in lengths.items() if isinstance(axis, SpectrumAxis)}


def check_each_size(kinds: Collection[str], name: str, value: int | Mapping[str, int] | None) -> None:
    """Check that a size, or that of every kind, is at least 1.

    Raises:
        ValueError: one is below 1, or the mapping has other kinds.
    """
    for size in for_each(kinds, name, value).values():
        check_sizes(**{} if size is None else {name: size})


def for_each(kinds: Collection[str], name: str, value: object) -> dict[str, Any]:
    """Return one value per kind, from a single value or from a mapping with exactly these kinds.

    Raises:
        ValueError: the mapping has other kinds.
    """
    if not isinstance(value, Mapping):
        # Copied, since one module registered under several names would be trained and saved as several.
        return {kind: copy.deepcopy(value) for kind in kinds}
    if set(value) != set(kinds):
        raise ValueError(f"{name} must have the kinds {sorted(kinds)}, as lengths has; got {sorted(value)}.")
    return {kind: value[kind] for kind in kinds}


def default_patch_len(length: int, stride: int | None) -> int:
    """Return a patch length for L samples: twice the stride, or L / 70 but at least 20 samples.

    Spectra of 601, 701 and 3501 samples get the released 20, 20 and 50.
    """
    return min(length, max(20, round(length / 70)) if stride is None else 2 * stride)


def default_stride(patch_len: int) -> int:
    """Return a stride for a patch length: half of it, as published."""
    return max(1, patch_len // 2)
