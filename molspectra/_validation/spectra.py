"""Checks of spectra."""

from collections.abc import Mapping

from torch import Tensor

from molspectra._validation.values import values_are_free


def check_spectra(spectra: Mapping[str, Tensor], lengths: Mapping[str, int]) -> None:
    """Check that spectra fit their axes and each other.

    Args:
        spectra: Kind → intensities (B, L_kind), a row of NaN for a missing spectrum.
        lengths: Samples expected of each kind.

    Raises:
        TypeError: a spectrum is no tensor.
        ValueError: no kinds, an unknown kind, a wrong shape, different batch sizes, or (checked for CPU tensors) a row
            that is neither finite nor all NaN.
    """
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
                "that axis with molspectra.data.resample."
            )
        if values_are_free(spectrum):
            # A row with a few NaN would count as missing, and the rest of its spectrum would be lost without a word.
            mixed = ~(spectrum.isfinite().all(dim=1) | spectrum.isnan().all(dim=1))
            if bool(mixed.any()):
                row = int(mixed.nonzero()[0])
                raise ValueError(
                    f"spectra[{kind!r}] row {row} mixes NaN or infinite values with finite ones; expected all finite, "
                    "or all NaN for a missing spectrum. Fill the gaps, or set the whole row to NaN."
                )
        batch_sizes[kind] = spectrum.shape[0]
    batch_size = next(iter(batch_sizes.values()))
    # Not by a set: torch.compile would have to hash the size, and would compile a graph for that size alone.
    if any(size != batch_size for size in batch_sizes.values()):
        raise ValueError(f"spectra must have one batch size; got {batch_sizes}.")
    if batch_size == 0:
        raise ValueError("spectra hold no samples (batch size 0); expected at least one. Skip empty batches.")
