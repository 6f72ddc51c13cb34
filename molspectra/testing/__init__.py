"""Tests for your own parts: an inheritable suite for encoders, and a check that modules compile. Needs pytest."""

from molspectra.testing.compile import assert_compiles
from molspectra.testing.encoder_suite import (
    EDGE_MOLECULES,
    EncoderSuite,
    assert_close,
    assert_equivariant,
    assert_features_close,
    by_degree,
    edge_molecule,
    random_molecules,
    random_orthogonal,
    wigner,
    without_shape_checks,
)

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
