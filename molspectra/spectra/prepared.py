"""Spectra ready for an encoder: every kind, checked and scaled, with a record of the missing ones."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._repr import fields_repr
from molspectra._validation import check_dtype, check_spectra
from molspectra.spectra.fields import spectra_of
from molspectra.spectra.per_spectrum_scaling import PerSpectrumScaling


class PreparedSpectra(NamedTuple):
    """Scaled spectra of every kind that an encoder reads.

    A training step prepares its spectra once and hands the result to the mask, the encoder and the reconstruction.
    """

    scaled: dict[str, Float[Tensor, "batch length *columns"]]
    """Kind → scaled intensities (B, L), or peaks (B, K, columns) with scaled intensities, 0 where nothing was measured.
    Fields of precursors have their m/z, (B, 1)."""
    measured: dict[str, Bool[Tensor, "batch length"]]
    """Kind → True where the spectrum was measured, (B, L), or True for peaks that are no padding, (B, K)."""
    first: Mapping[str, int] = MappingProxyType({})
    """Kind → number, on the grid of the encoder, of the first sample of spectra that were read on another range
    (see :meth:`SpecFormer.prepare`). The others begin at 0."""

    def __repr__(self) -> str:
        return fields_repr(self)


def prepare(
    spectra: Mapping[str, Tensor] | Data | PreparedSpectra,
    lengths: Mapping[str, int],
    scalings: Mapping[str, nn.Module] | nn.ModuleDict,
    weight: Tensor,
    *,
    partial: bool = False,
) -> PreparedSpectra:
    """Check spectra, add absent kinds as missing spectra, and scale all of them.

    Args:
        spectra: Kind → intensities (B, L_kind), a row of NaN for a missing spectrum, or molecules with these fields.
            Prepared spectra are returned as they are.
        lengths: Samples of each kind.
        scalings: Kind → module that scales the intensities.
        weight: A weight of the encoder, whose dtype the spectra must have.
        partial: Accept rows of which some samples are NaN. Otherwise such a row counts as missing, where it is seen.

    Raises:
        ValueError: see :func:`molspectra._validation.check_spectra`.
        TypeError: a dtype differs from that of the weight.
    """
    if isinstance(spectra, PreparedSpectra):
        return spectra
    if isinstance(spectra, Data):
        spectra = spectra_of(spectra, lengths)
    check_spectra(spectra, lengths, partial=partial)
    for kind, spectrum in spectra.items():
        check_dtype(f"spectra[{kind!r}]", spectrum, weight)
    first = next(iter(spectra.values()))
    scaled, measured = {}, {}
    for kind, length in lengths.items():
        # Under autocast the spectra may come in half precision, which would round away weak bands in the scaling.
        spectrum = spectra[kind].to(weight.dtype) if kind in spectra else _missing(first, length, weight.dtype)
        known = spectrum.isfinite()
        if not partial:
            known = known.all(dim=-1, keepdim=True).expand_as(spectrum)
        scaling = scalings[kind]
        # NaN is replaced before the scaling as well, for NaN · 0 = NaN in its backward pass. Statistics of a spectrum
        # must leave gaps out, and do so by themselves.
        fill = torch.nan if isinstance(scaling, PerSpectrumScaling) else 0.0
        scaled[kind] = scaling(spectrum.masked_fill(~known, fill)).masked_fill(~known, 0.0)
        measured[kind] = known
    return PreparedSpectra(scaled, measured)


def _missing(like: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """Return spectra that are missing in every sample, (B, L)."""
    return like.new_full((like.shape[0], length), torch.nan, dtype=dtype)
