"""What spectrum encoders do with their arguments: sets of kinds, and spectra that are missing."""

import copy
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._validation import check_dtype, check_spectra


def check_kinds(lengths: Mapping[str, int]) -> tuple[str, ...]:
    """The kinds of spectrum, in order.

    Raises:
        ValueError: there are none, or one cannot be the name of a module.
    """
    if not lengths:
        raise ValueError("lengths is empty; expected at least one kind of spectrum, as in {'ir': 3501}.")
    if dotted := [kind for kind in lengths if "." in kind]:
        raise ValueError(f"Kinds of spectrum become names of modules and cannot contain a dot; got {dotted}.")
    return tuple(lengths)


def for_each(kinds: tuple[str, ...], name: str, value: object) -> dict:
    """One value for every kind, or a mapping that has just these kinds.

    Raises:
        ValueError: the mapping has other kinds.
    """
    if not isinstance(value, Mapping):
        return {kind: copy.deepcopy(value) for kind in kinds}  # a module would otherwise be one, under several names
    if set(value) != set(kinds):
        raise ValueError(f"{name} must have the kinds {sorted(kinds)}, as lengths has; got {sorted(value)}.")
    return dict(value)


def complete(
    spectra: Mapping[str, Tensor], lengths: Mapping[str, int], weight: Tensor
) -> dict[str, Float[Tensor, "batch length"]]:
    """Every kind: those that are absent as rows of NaN, which are missing spectra.

    Args:
        spectra: Kind → intensities, (B, L_kind).
        lengths: Samples of each kind.
        weight: A weight of the encoder, whose dtype the spectra must have.

    Raises:
        ValueError: see :func:`molspectra._validation.check_spectra`.
        TypeError: a dtype is not that of the weight.
    """
    check_spectra(spectra, lengths)
    for kind, spectrum in spectra.items():
        check_dtype(f"spectra[{kind!r}]", spectrum, weight)
    # Under autocast the dtype may be another; scaling is never done in half precision.
    spectra = {kind: spectrum.to(weight.dtype) for kind, spectrum in spectra.items()}
    given = next(iter(spectra.values()))
    return {
        kind: spectra[kind] if kind in spectra else given.new_full((given.shape[0], length), torch.nan)
        for kind, length in lengths.items()
    }


def scale(spectrum: Tensor, scaling: nn.Module) -> tuple[Tensor, Tensor]:
    """Scaled intensities (B, L), 0 where a spectrum is missing, and which are missing (B, 1)."""
    missing = spectrum.isnan().any(dim=-1, keepdim=True)
    return scaling(spectrum.masked_fill(missing, 0.0)).masked_fill(missing, 0.0), missing
