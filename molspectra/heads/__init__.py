"""Features → predictions: every head is a callable `head(atoms, data)`."""

from molspectra.heads.atom import AtomHead
from molspectra.heads.dipole import DipoleHead
from molspectra.heads.distance_score import DistanceScoreHead
from molspectra.heads.element_scale import ElementScale
from molspectra.heads.energy import EnergyHead, GradientHead
from molspectra.heads.ensemble import EnsembleHead
from molspectra.heads.evidential import EvidentialHead
from molspectra.heads.fusion import FusionHead
from molspectra.heads.molecule_embedding import MoleculeEmbeddingHead
from molspectra.heads.pooling import MoleculePooling
from molspectra.heads.position_distribution import PositionDistributionHead
from molspectra.heads.reference_energies import AtomicReferenceEnergies
from molspectra.heads.scalar import ScalarHead
from molspectra.heads.spatial_extent import SpatialExtentHead
from molspectra.heads.spectrum import SpectrumHead
from molspectra.heads.stick import StickHead
from molspectra.heads.vector import VectorHead

__all__ = [
    "AtomHead",
    "AtomicReferenceEnergies",
    "DipoleHead",
    "DistanceScoreHead",
    "ElementScale",
    "EnergyHead",
    "EnsembleHead",
    "EvidentialHead",
    "FusionHead",
    "GradientHead",
    "MoleculeEmbeddingHead",
    "MoleculePooling",
    "PositionDistributionHead",
    "ScalarHead",
    "SpatialExtentHead",
    "SpectrumHead",
    "StickHead",
    "VectorHead",
]


def __dir__() -> list[str]:
    return __all__
