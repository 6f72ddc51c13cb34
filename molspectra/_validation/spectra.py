"""Checks of spectra."""

import operator
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from molspectra._validation.values import values_are_free


def lengths_of(lengths: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of samples of each kind of spectrum, given as an integer or by an axis, in order.

    Raises:
        TypeError: `lengths` is no mapping from kinds to numbers of samples or axes.
        ValueError: it is empty.
    """
    form = "{'ir': molspectra.data.IR} or {'ir': 3501}"
    if not isinstance(lengths, Mapping):
        raise TypeError(
            f"lengths must map kinds of spectrum to axes or numbers of samples, as in {form}; got a "
            f"{type(lengths).__name__}."
        )
    if not lengths:
        raise ValueError(f"lengths is empty; expected at least one kind of spectrum, as in {form}.")
    counted = {}
    for kind, axis in lengths.items():
        try:
            counted[kind] = operator.index(getattr(axis, "length", axis))
        except TypeError as error:
            raise TypeError(
                f"lengths[{kind!r}] must be a SpectrumAxis or a number of samples, as in {form}; got {axis!r:.80}."
                + (" Lists of peaks are read by SpecFormer." if hasattr(axis, "num_positions") else "")
            ) from error
    return counted


def check_spectra(spectra: Mapping[str, Tensor], lengths: Mapping[str, int], *, partial: bool = False) -> None:
    """Check that spectra fit their axes and each other.

    Args:
        spectra: Kind → intensities (B, L_kind), a row of NaN for a missing spectrum.
        lengths: Samples expected of each kind.
        partial: Accept rows of which some samples are NaN, which were not measured.

    Raises:
        TypeError: the spectra are no dict, or one of them is no tensor.
        ValueError: no kinds, an unknown kind, a wrong shape, different batch sizes, or (checked for CPU tensors) an
            infinite value, or a row of which some samples are NaN without `partial`.
    """
    if not isinstance(spectra, Mapping):
        raise TypeError(
            "spectra must be a dict from kinds to intensities (B, L), or molecules with fields of these names; got a "
            f"{type(spectra).__name__}."
        )
    if not spectra:
        raise ValueError(f"spectra is empty; expected at least one of {sorted(lengths)}.")
    batch_sizes = {}
    for kind, spectrum in spectra.items():
        if kind not in lengths:
            raise ValueError(f"Unknown kind of spectrum {kind!r}; expected some of {sorted(lengths)}.")
        if not isinstance(spectrum, Tensor):
            raise TypeError(
                f"spectra[{kind!r}] must be a tensor of shape (B, {lengths[kind]}); got {type(spectrum).__name__}. "
                "Convert it with torch.as_tensor(spectrum, dtype=torch.float32)."
            )
        if spectrum.shape == (lengths[kind],):
            raise ValueError(
                f"spectra[{kind!r}] must have shape (B, {lengths[kind]}), a row for each sample; got "
                f"{tuple(spectrum.shape)}. For one spectrum pass spectrum.unsqueeze(0)."
            )
        if spectrum.dim() != 2 or spectrum.shape[1] != lengths[kind]:
            raise ValueError(
                f"spectra[{kind!r}] must have shape (B, {lengths[kind]}); got {tuple(spectrum.shape)}. Bring it onto "
                "that axis with molspectra.data.resample, or pass its own axis to SpecFormer: "
                f"axes={{{kind!r}: SpectrumAxis(…)}}."
            )
        if values_are_free(spectrum):
            _check_values(kind, spectrum, partial)
        batch_sizes[kind] = spectrum.shape[0]
    batch_size = next(iter(batch_sizes.values()))
    # Not by a set: torch.compile would have to hash the size, and would compile a graph for that size alone.
    if any(size != batch_size for size in batch_sizes.values()):
        raise ValueError(f"spectra must have one batch size; got {batch_sizes}.")
    if batch_size == 0:
        raise ValueError("spectra hold no samples (batch size 0); expected at least one. Skip empty batches.")


def _check_values(kind: str, spectrum: Tensor, partial: bool) -> None:
    """Refuse infinite values, and rows with gaps where an encoder would lose the rest of the spectrum.

    Raises:
        ValueError: there is one.
    """
    if bool(spectrum.isinf().any()):
        row = int(spectrum.isinf().any(dim=1).nonzero()[0])
        raise ValueError(
            f"spectra[{kind!r}] row {row} mixes NaN or infinite values with finite ones; infinite values are no "
            "intensities. Set them to NaN where nothing was measured."
        )
    if partial:
        return
    missing = spectrum.isnan()
    mixed = missing.any(dim=1) & ~missing.all(dim=1)
    if bool(mixed.any()):
        raise ValueError(
            f"spectra[{kind!r}] row {int(mixed.nonzero()[0])} mixes NaN or infinite values with finite ones; expected "
            "all finite, or all NaN for a missing spectrum. Fill the gaps, set the whole row to NaN, or use "
            "SpecFormer, which reads spectra with gaps."
        )
