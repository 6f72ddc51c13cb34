"""Masked modelling of spectra, which the methods that read spectra share: patches of grids, and lists of peaks."""

from typing import Literal

import torch
from torch import Tensor, nn

from molspectra._transforms import in_eager_mode
from molspectra.objectives.masked_patch import MaskedPatchLoss
from molspectra.objectives.masked_peak import MaskedPeakLoss
from molspectra.spectra.features import SpectrumFeatures
from molspectra.spectra.masking import PatchMask
from molspectra.spectra.patch_decoder import PatchDecoder
from molspectra.spectra.peak_decoder import PeakDecoder
from molspectra.spectra.peak_mask import PeakMask
from molspectra.spectra.prepared import PreparedSpectra
from molspectra.spectra.specformer import SpecFormer


class SpectrumModelling(nn.Module):
    """Base of methods that hide parts of spectra and reconstruct them from the tokens of a SpecFormer."""

    def _build(
        self, specformer: SpecFormer, mask_ratio: float, mask_mode: Literal["interval", "patch"], num_bins: int
    ) -> None:
        """Make masks, decoders and losses for the kinds of a SpecFormer."""
        self.mask = PatchMask(specformer.patchers, mask_ratio, mask_mode)
        patch_len = {kind: patcher.patch_len for kind, patcher in specformer.patchers.items()}
        self.reconstruct = PatchDecoder(specformer.hidden_channels, patch_len)
        self.reconstruction = MaskedPatchLoss(specformer.patchers)
        self.peak_mask = self.peak_reconstruct = self.peak_reconstruction = None
        if specformer.peak_axes:
            self.peak_mask = PeakMask(specformer.peak_axes, mask_ratio)
            self.peak_reconstruct = PeakDecoder(specformer.hidden_channels, specformer.peak_axes, num_bins)
            self.peak_reconstruction = MaskedPeakLoss(self.peak_reconstruct.bins)

    def _hide(self, prepared: PreparedSpectra, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Draw the parts to hide: kind → mask over samples, patches or peaks."""
        masked = in_eager_mode(self.mask, prepared, generator)
        return masked if self.peak_mask is None else masked | in_eager_mode(self.peak_mask, prepared, generator)

    def _compare(
        self,
        specformer: SpecFormer,
        features: SpectrumFeatures,
        prepared: PreparedSpectra,
        masked: dict[str, Tensor],
    ) -> Tensor:
        """Reconstruct the hidden parts, and return the loss, a sum over the kinds."""
        tokens = specformer.split(features.tokens, prepared)
        losses = []
        if grids := {kind: masked[kind] for kind in specformer.patchers}:
            patches = self.reconstruct({kind: tokens[kind] for kind in grids})
            losses.append(self.reconstruction(patches, specformer.patches(prepared), grids))
        if peaks := {kind: masked[kind] for kind in specformer.peak_axes}:
            assert self.peak_reconstruct is not None
            assert self.peak_reconstruction is not None
            # Tokens of neutral losses and precursors come after those of the peaks.
            of_peaks = {kind: tokens[kind][:, : mask.shape[1]] for kind, mask in peaks.items()}
            losses.append(self.peak_reconstruction(self.peak_reconstruct(of_peaks), prepared.scaled, peaks))
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]
