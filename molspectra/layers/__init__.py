"""Small modules that encoders and heads share."""

from molspectra.layers.conditioning import MaskedAtomEmbedding
from molspectra.layers.degrees import DegreeLinear, DegreeNorm, LiftDegrees
from molspectra.layers.gated import GatedEquivariantBlock
from molspectra.layers.layer_output import LayerOutput
from molspectra.layers.radial import BesselBasis, CosineCutoff, ExpNormalBasis
from molspectra.layers.sphere import PositionDistribution, SphereGrid
from molspectra.layers.vector_norm import RMSVectorNorm, WhitenedVectorNorm

__all__ = [
    "BesselBasis",
    "CosineCutoff",
    "DegreeLinear",
    "DegreeNorm",
    "ExpNormalBasis",
    "GatedEquivariantBlock",
    "LayerOutput",
    "LiftDegrees",
    "MaskedAtomEmbedding",
    "PositionDistribution",
    "RMSVectorNorm",
    "SphereGrid",
    "WhitenedVectorNorm",
]
