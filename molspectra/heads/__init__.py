"""Features → predictions."""

from molspectra.heads.concatenation import ConcatenationHead
from molspectra.heads.dipole import DipoleHead
from molspectra.heads.energy import EnergyHead, GradientHead, MoleculePooling
from molspectra.heads.noise_scale import NoiseScaleHead
from molspectra.heads.patches import PatchReconstructionHead
from molspectra.heads.position_distribution import PositionDistributionHead
from molspectra.heads.position_readout import locate
from molspectra.heads.projection import ProjectionHead
from molspectra.heads.references import AtomicReferences
from molspectra.heads.scalar import ScalarHead
from molspectra.heads.spatial_extent import SpatialExtentHead
from molspectra.heads.spectrum import SpectrumHead
from molspectra.heads.vector import VectorHead

__all__ = [
    "AtomicReferences",
    "ConcatenationHead",
    "DipoleHead",
    "EnergyHead",
    "GradientHead",
    "MoleculePooling",
    "NoiseScaleHead",
    "PatchReconstructionHead",
    "PositionDistributionHead",
    "ProjectionHead",
    "ScalarHead",
    "SpatialExtentHead",
    "SpectrumHead",
    "VectorHead",
    "locate",
]
