"""Features → predictions."""

from molspectra.heads.patches import PatchReconstructionHead
from molspectra.heads.projection import ProjectionHead
from molspectra.heads.scalar import ScalarHead
from molspectra.heads.vector import VectorHead

__all__ = ["PatchReconstructionHead", "ProjectionHead", "ScalarHead", "VectorHead"]
