"""Spectra → features: patches, masks, SpecFormer and CNN-AM."""

from molspectra.spectra.cnn_am import CNNAM
from molspectra.spectra.features import SpectrumFeatures
from molspectra.spectra.masking import PatchMask, mask_largest
from molspectra.spectra.patching import SpectrumPatcher
from molspectra.spectra.specformer import SpecFormer

__all__ = ["CNNAM", "PatchMask", "SpecFormer", "SpectrumFeatures", "SpectrumPatcher", "mask_largest"]
