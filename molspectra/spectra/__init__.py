"""Spectra → features: patches, masks and SpecFormer."""

from molspectra.spectra.masking import PatchMask, mask_largest
from molspectra.spectra.patching import SpectrumPatcher
from molspectra.spectra.specformer import SpecFormer, SpectrumFeatures

__all__ = ["PatchMask", "SpecFormer", "SpectrumFeatures", "SpectrumPatcher", "mask_largest"]
