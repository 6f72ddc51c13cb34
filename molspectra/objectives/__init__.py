"""Predictions and targets → losses."""

from molspectra.objectives.denoising import DenoisingLoss
from molspectra.objectives.infonce import InfoNCELoss
from molspectra.objectives.masked_patch import MaskedPatchLoss
from molspectra.objectives.slide import SliDeLoss
from molspectra.objectives.target_normalizer import TargetNormalizer
from molspectra.objectives.weighted_sum import WeightedSum

__all__ = ["DenoisingLoss", "InfoNCELoss", "MaskedPatchLoss", "SliDeLoss", "TargetNormalizer", "WeightedSum"]
