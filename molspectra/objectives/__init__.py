"""Objectives: losses of predictions and targets."""

from molspectra.objectives.denoising import DenoisingLoss
from molspectra.objectives.distance_score import DistanceScoreLoss
from molspectra.objectives.evidential import EvidentialLoss
from molspectra.objectives.force_matching import ForceMatchingLoss
from molspectra.objectives.infonce import InfoNCELoss
from molspectra.objectives.masked_patch import MaskedPatchLoss
from molspectra.objectives.masked_peak import MaskedPeakLoss
from molspectra.objectives.noise_scale import NoiseScaleLoss
from molspectra.objectives.objective import Objective
from molspectra.objectives.position_distribution import PositionDistributionLoss
from molspectra.objectives.slide import SliDeLoss
from molspectra.objectives.spectrum import SpectrumLoss
from molspectra.objectives.sticks import StickLoss
from molspectra.objectives.target_normalizer import TargetNormalizer
from molspectra.objectives.vector_error import VectorErrorLoss
from molspectra.objectives.weighted_sum import WeightedSum

__all__ = [
    "DenoisingLoss",
    "DistanceScoreLoss",
    "EvidentialLoss",
    "ForceMatchingLoss",
    "InfoNCELoss",
    "MaskedPatchLoss",
    "MaskedPeakLoss",
    "NoiseScaleLoss",
    "Objective",
    "PositionDistributionLoss",
    "SliDeLoss",
    "SpectrumLoss",
    "StickLoss",
    "TargetNormalizer",
    "VectorErrorLoss",
    "WeightedSum",
]


def __dir__() -> list[str]:
    return __all__
