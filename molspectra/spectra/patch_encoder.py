"""Base of spectrum encoders whose tokens are patches of spectra: their number, their places and their contents."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.encoder import SpectrumEncoder
from molspectra.spectra.patching import SpectrumPatcher
from molspectra.spectra.peak_tokens import tokens_of_peaks
from molspectra.spectra.prepared import PreparedSpectra
from molspectra.spectra.regridding import part_of, whole_patches


class PatchEncoder(SpectrumEncoder):
    """Encoder with a token for each patch of a spectrum on a grid, and tokens for each peak of a list.

    A subclass sets `patchers` and `position` in its constructor as well.
    """

    patchers: dict[str, SpectrumPatcher]
    """Kind → patcher, of the kinds on grids."""
    position: str
    """"learned" for a vector for each patch, "axis" for positions that are functions of the place on the axis."""

    @property
    def num_patches(self) -> dict[str, int]:
        """Number of patches, and therefore of tokens, of each kind."""
        return {kind: patcher.num_patches for kind, patcher in self.patchers.items()}

    @property
    def num_tokens(self) -> dict[str, int]:
        """Number of tokens of each kind, one per patch."""
        return self.num_patches

    @property
    def token_samples(self) -> dict[str, Float[Tensor, " tokens"]]:
        """Center of the patch of each token, in samples."""
        return {kind: patcher.centers for kind, patcher in self.patchers.items()}

    def token_positions(
        self, axes: Mapping[str, SpectrumAxis | Tensor] | None = None
    ) -> dict[str, Float[Tensor, " tokens"]]:
        """Return the place of each token in units of its axis (see the base class).

        With `position="axis"`, `axes` are those of given spectra, and the places are those of the tokens that are read
        from them. Kinds without one are on the axis of the model.
        """
        if self.position == "learned":
            return super().token_positions(axes)  # type: ignore[arg-type]
        axes, positions = axes or {}, {}
        for kind, patcher in self.patchers.items():
            _, axis = whole_patches(kind, axes.get(kind, self.axes[kind]), self.axes[kind], patcher)
            positions[kind] = axis.start + axis.step * patcher.resized(axis.length).centers
        return positions

    def axes_of(self, prepared: PreparedSpectra) -> dict[str, SpectrumAxis]:
        """Return the axis of the scaled samples of each kind of prepared spectra, where the model knows it."""
        lengths = {kind: prepared.scaled[kind].shape[1] for kind in self.axes}
        return {kind: part_of(axis, prepared.first.get(kind, 0), lengths[kind]) for kind, axis in self.axes.items()}

    def count_tokens(self, prepared: PreparedSpectra) -> dict[str, int]:
        """Return the number of tokens of each kind, for the axes and the longest lists of peaks of a batch."""
        sizes = {kind: prepared.scaled[kind].shape[1] for kind in self.kinds}
        patches = {kind: patcher.count(sizes[kind]) for kind, patcher in self.patchers.items()}
        return patches | {kind: tokens_of_peaks(axis, sizes[kind]) for kind, axis in self.peak_axes.items()}

    def patches(
        self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra
    ) -> dict[str, Float[Tensor, "batch patches patch_len"]]:
        """Return the scaled, unmasked patches of each kind, (B, n, P), the target of reconstruction, 0 in gaps.

        Patches of prepared spectra are views and take no memory.
        """
        scaled = self.prepare(spectra).scaled
        return {kind: patcher.cut(scaled[kind]) for kind, patcher in self.patchers.items()}

    def extra_repr(self) -> str:
        """Return the kinds of spectrum and their patches, for printing."""
        return ", ".join(f"{kind}: {patcher!r}" for kind, patcher in self.patchers.items())

    def _places(self, kind: str, prepared: PreparedSpectra) -> Float[Tensor, " tokens"]:
        """Return the centers of the patches of one kind, in samples of the model's axis."""
        patcher, weight = self.patchers[kind], next(self.out_norm.parameters())
        count = patcher.count(prepared.scaled[kind].shape[1])
        # Half precision would round the numbers of samples above 256.
        dtype = torch.promote_types(weight.dtype, torch.float32)
        numbers = torch.arange(count, dtype=dtype, device=weight.device)
        return prepared.first.get(kind, 0) + (patcher.patch_len - 1) / 2 + patcher.stride * numbers
