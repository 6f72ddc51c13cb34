"""Augmentations of spectra, that carry a model from computed to measured ones.

Every augmentation is called as `augmentation(spectra, axis, generator=None)` on a batch on its device.
:class:`Augment` does so for the spectra of molecules, as a transform.
"""

from molspectra.spectra.augment.atmosphere import AtmosphericLines
from molspectra.spectra.augment.augmentation import Augmentation, GridAugmentation, PeakAugmentation
from molspectra.spectra.augment.baseline import Baseline, RubberBandResidue
from molspectra.spectra.augment.compose import Compose, Sometimes
from molspectra.spectra.augment.crop import CropRange
from molspectra.spectra.augment.drop_peaks import DropPeaks
from molspectra.spectra.augment.intensity import BandGain, Gain
from molspectra.spectra.augment.isotope_peaks import IsotopePeaks
from molspectra.spectra.augment.mass_jitter import MassJitter
from molspectra.spectra.augment.molecules import Augment
from molspectra.spectra.augment.noise import ShotNoise, WhiteNoise
from molspectra.spectra.augment.noise_peaks import NoisePeaks
from molspectra.spectra.augment.position import ScaleFactor, Shift
from molspectra.spectra.augment.position_jitter import PositionJitter
from molspectra.spectra.augment.resolution import ResolutionLoss
from molspectra.spectra.augment.saturation import Saturation
from molspectra.spectra.augment.sticks import BroadenSticks
from molspectra.spectra.augment.width import Rebroaden

__all__ = [
    "AtmosphericLines",
    "Augment",
    "Augmentation",
    "BandGain",
    "Baseline",
    "BroadenSticks",
    "Compose",
    "CropRange",
    "DropPeaks",
    "Gain",
    "GridAugmentation",
    "IsotopePeaks",
    "MassJitter",
    "NoisePeaks",
    "PeakAugmentation",
    "PositionJitter",
    "Rebroaden",
    "ResolutionLoss",
    "RubberBandResidue",
    "Saturation",
    "ScaleFactor",
    "Shift",
    "ShotNoise",
    "Sometimes",
    "WhiteNoise",
]


def __dir__() -> list[str]:
    return __all__
