"""Modules that two or more encoders or heads share."""

from molspectra.layers.center_of_mass import CenterOfMass
from molspectra.layers.degree_linear import DegreeLinear
from molspectra.layers.gated import GatedEquivariantBlock
from molspectra.layers.hook_point import HookPoint
from molspectra.layers.layer_norm import LayerNorm
from molspectra.layers.position_distribution import PositionDistribution
from molspectra.layers.projection import ProjectionMLP
from molspectra.layers.radial import CosineCutoff, ExpNormalBasis

__all__ = [
    "CenterOfMass",
    "CosineCutoff",
    "DegreeLinear",
    "ExpNormalBasis",
    "GatedEquivariantBlock",
    "HookPoint",
    "LayerNorm",
    "PositionDistribution",
    "ProjectionMLP",
]


def __dir__() -> list[str]:
    return __all__
