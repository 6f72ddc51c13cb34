"""Tests for parts of your own: an inheritable suite for encoders, and a check that modules compile. Needs pytest."""

from molspectra.testing.comparison import assert_close, assert_features_close, by_degree
from molspectra.testing.compile import assert_compiles
from molspectra.testing.encoder_suite import EncoderSuite
from molspectra.testing.molecules import EDGE_MOLECULES, edge_molecule, random_molecules
from molspectra.testing.shape_checks import without_shape_checks
from molspectra.testing.symmetry import assert_equivariant, random_orthogonal, wigner

__all__ = [
    "EDGE_MOLECULES",
    "EncoderSuite",
    "assert_close",
    "assert_compiles",
    "assert_equivariant",
    "assert_features_close",
    "by_degree",
    "edge_molecule",
    "random_molecules",
    "random_orthogonal",
    "wigner",
    "without_shape_checks",
]


def __dir__() -> list[str]:
    return __all__
