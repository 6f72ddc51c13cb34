"""Spectra → features: axes, broadening, resampling, scaling, augmentation, patches, masks, SpecFormer and CNN-AM."""

from molspectra.spectra import augment
from molspectra.spectra.axis import IR, RAMAN, UV_VIS, UV_VIS_QM9S, SpectrumAxis
from molspectra.spectra.axis_positions import AxisPositions
from molspectra.spectra.band_pooling import BandPooling
from molspectra.spectra.broadening import broaden
from molspectra.spectra.cnn_am import CNNAM
from molspectra.spectra.encoder import SpectrumEncoder
from molspectra.spectra.features import SpectrumFeatures
from molspectra.spectra.fourier_features import FourierFeatures
from molspectra.spectra.masking import PatchMask, mask_largest
from molspectra.spectra.patch_decoder import PatchDecoder
from molspectra.spectra.patching import SpectrumPatcher
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.peak_bins import PeakBins
from molspectra.spectra.peak_decoder import PeakDecoder, PeakPrediction
from molspectra.spectra.peak_mask import PeakMask
from molspectra.spectra.peak_tokens import PeakTokens
from molspectra.spectra.per_spectrum_scaling import PerSpectrumScaling
from molspectra.spectra.prepared import PreparedSpectra
from molspectra.spectra.resampling import resample
from molspectra.spectra.scaling import (
    ArcsinhScaling,
    IdentityScaling,
    Log10Scaling,
    LogScaling,
    MinMaxScaling,
    StandardScaling,
)
from molspectra.spectra.specformer import SpecFormer
from molspectra.spectra.sticks import Sticks

__all__ = [
    "CNNAM",
    "IR",
    "RAMAN",
    "UV_VIS",
    "UV_VIS_QM9S",
    "ArcsinhScaling",
    "AxisPositions",
    "BandPooling",
    "FourierFeatures",
    "IdentityScaling",
    "Log10Scaling",
    "LogScaling",
    "MinMaxScaling",
    "PatchDecoder",
    "PatchMask",
    "PeakAxis",
    "PeakBins",
    "PeakDecoder",
    "PeakMask",
    "PeakPrediction",
    "PeakTokens",
    "PerSpectrumScaling",
    "PreparedSpectra",
    "SpecFormer",
    "SpectrumAxis",
    "SpectrumEncoder",
    "SpectrumFeatures",
    "SpectrumPatcher",
    "StandardScaling",
    "Sticks",
    "augment",
    "broaden",
    "mask_largest",
    "resample",
]


def __dir__() -> list[str]:
    return __all__
