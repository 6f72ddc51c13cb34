"""Modules that two or more encoders or heads share."""

from molspectra.layers.degrees import DegreeLinear, DegreeNorm, LiftDegrees
from molspectra.layers.gated import GatedEquivariantBlock
from molspectra.layers.layer_output import LayerOutput
from molspectra.layers.radial import BesselBasis, CosineCutoff, ExpNormalBasis
from molspectra.layers.sphere import PositionDistribution, SphereGrid

__all__ = [
    "BesselBasis",
    "CosineCutoff",
    "DegreeLinear",
    "DegreeNorm",
    "ExpNormalBasis",
    "GatedEquivariantBlock",
    "LayerOutput",
    "LiftDegrees",
    "PositionDistribution",
    "SphereGrid",
]
