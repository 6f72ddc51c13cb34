"""Spectra beside their reconstruction from the visible parts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molspectra._evaluation import evaluating
from molspectra._signature import unwrap
from molspectra._validation import checked
from molspectra.plots.arrays import as_array
from molspectra.plots.style import color, style
from molspectra.plots.units import axis_label, customary_direction, kind_name
from molspectra.spectra import PreparedSpectra, SpecFormer, SpectrumAxis, SpectrumPatcher


@checked
def reconstruction(
    method: Any,
    batch: Any,
    sample: int = 0,
    *,
    axes: Mapping[str, SpectrumAxis] | None = None,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """Draw the spectra of a molecule, the intervals that are hidden, and their reconstruction.

    Args:
        method: :class:`~molspectra.methods.MaskedReconstruction` or :class:`~molspectra.methods.MolSpectra`, also
            within a wrapper.
        batch: Molecules with spectra, or a dict of them, or spectra that `specformer.prepare` has brought there from
            other axes.
        sample: Number of the molecule in the batch.
        axes: Axis of each kind of spectrum. Default: those that SpecFormer was built with. Kinds without one are drawn
            over the number of the sample.
        generator: Source of randomness of the mask. Default: a fixed one.

    Returns:
        Axes, one per kind of spectrum that the molecule has.

    Raises:
        TypeError: The method reconstructs no spectra.
        ValueError: The batch has no such molecule, or the molecule no spectrum.

    Example:
        >>> specformer = ms.spectra.SpecFormer(ms.data.MiniSpectra.axes, hidden_channels=16, num_heads=4)
        >>> method = ms.methods.MaskedReconstruction(specformer)
        >>> axes = ms.plots.reconstruction(method, Batch.from_data_list(ms.data.MiniSpectra()[:4]))
    """
    method = unwrap(method)
    if not all(hasattr(method, part) for part in ("specformer", "mask", "reconstruct")):
        raise TypeError(
            f"method must be MaskedReconstruction or MolSpectra, which reconstruct spectra; got a "
            f"{type(method).__name__}."
        )
    specformer = unwrap(method.specformer)
    assert isinstance(specformer, SpecFormer)  # the methods take no other
    with evaluating(method):
        prepared = _one(specformer.prepare(batch), sample)
        device = next(iter(prepared.scaled.values())).device
        masked = method.mask(prepared, torch.Generator(device).manual_seed(0) if generator is None else generator)
        tokens = specformer.split(method.specformer(prepared, masked).tokens, prepared)
        patches = method.reconstruct({kind: tokens[kind] for kind in specformer.lengths})
    kinds = [kind for kind in specformer.lengths if bool(prepared.measured[kind].any())]
    if not kinds:
        raise ValueError(f"Molecule {sample} of the batch has none of the spectra {list(specformer.kinds)}.")
    axes = specformer.axes_of(prepared) if axes is None else axes
    with style() as plt:
        size = (6.4, 1.8 * len(kinds) + 0.4)
        panels = plt.subplots(len(kinds), figsize=size, squeeze=False, layout="constrained")[1][:, 0]
        for panel, kind in zip(panels, kinds, strict=True):
            patcher = specformer.patchers[kind].resized(prepared.scaled[kind].shape[1])
            hidden = patcher.expand(masked[kind])
            true, found = prepared.scaled[kind][0], merge_patches(patches[kind][0], patcher)
            _draw(panel, kind, true, found, merge_patches(hidden[0].to(found.dtype), patcher) > 0, axes.get(kind))
        panels[0].legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return panels


def merge_patches(patches: Tensor, patcher: SpectrumPatcher) -> Tensor:
    """Merge overlapping patches (n, P) into a spectrum (L,), their mean where they overlap, NaN where there is none."""
    samples = torch.arange(patcher.length, device=patches.device)
    index = samples.unfold(0, patcher.patch_len, patcher.stride).reshape(-1)
    total = patches.new_zeros(patcher.length).index_add(0, index, patches.reshape(-1))
    return total / patches.new_zeros(patcher.length).index_add(0, index, torch.ones_like(patches).reshape(-1))


def _one(prepared: PreparedSpectra, sample: int) -> PreparedSpectra:
    """Return the spectra of one molecule."""
    count = len(next(iter(prepared.scaled.values())))
    if not -count <= sample < count:
        raise ValueError(f"sample must lie in 0..{count - 1}, the molecules of the batch; got {sample}.")
    row = slice(sample % count, sample % count + 1)
    scaled = {kind: spectrum[row] for kind, spectrum in prepared.scaled.items()}
    measured = {kind: known[row] for kind, known in prepared.measured.items()}
    return prepared._replace(scaled=scaled, measured=measured)


def _draw(panel: Any, kind: str, true: Tensor, found: Tensor, hidden: Tensor, axis: SpectrumAxis | None) -> None:
    where = hidden.cpu().numpy()
    grid = np.arange(len(true)) if axis is None else axis.grid.numpy()
    shade = {"transform": panel.get_xaxis_transform(), "color": "0.91", "lw": 0}
    panel.fill_between(grid, 0, 1, where=where, label="hidden", **shade)
    panel.plot(grid, as_array("spectra", true), color="0.25", lw=1.0, label="true")
    panel.plot(grid, np.where(where, as_array("spectra", found), np.nan), color=color(1), lw=1.4, label="reconstructed")
    customary_direction(panel, axis)
    panel.set(xlabel=axis_label(axis), ylabel=f"{kind_name(kind)}, scaled")
