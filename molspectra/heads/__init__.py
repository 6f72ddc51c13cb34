"""Features → predictions."""

from molspectra.heads.energy import EnergyHead, GradientHead, MoleculePooling
from molspectra.heads.patches import PatchReconstructionHead
from molspectra.heads.projection import ProjectionHead
from molspectra.heads.scalar import ScalarHead
from molspectra.heads.vector import VectorHead

__all__ = [
    "EnergyHead",
    "GradientHead",
    "MoleculePooling",
    "PatchReconstructionHead",
    "ProjectionHead",
    "ScalarHead",
    "VectorHead",
]
