"""Comparison of tensors and of atom features at a tolerance that the size of the numbers scales."""

from torch import Tensor

from molspectra.features import AtomFeatures


def assert_close(actual: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Check that two tensors are equal up to `tolerance`, relative to the largest expected number where that exceeds 1.

    Args:
        actual: Tensor under test.
        expected: Tensor of the same shape.
        tolerance: Largest error.
        what: Name of the tensor, for the message.

    Raises:
        AssertionError: The error is larger, or not a number.
    """
    actual, expected = actual.detach(), expected.detach()
    scale = max(1.0, float(expected.abs().max()))
    error = float((actual - expected).abs().max()) / scale
    assert error <= tolerance, f"{what}: off by {error:.2e} (relative to {scale:.2g}); tolerance {tolerance:.0e}"


def assert_features_close(actual: AtomFeatures, expected: AtomFeatures, tolerance: float, what: str) -> None:
    """Check that atom features have the same degrees and are close in each of them, by :func:`assert_close`."""
    for degree, (one, other) in enumerate(zip(by_degree(actual), by_degree(expected), strict=True)):
        assert_close(one, other, tolerance, f"{what}, degree {degree}")


def by_degree(atoms: AtomFeatures) -> list[Tensor]:
    """Return the features of every degree that the atoms have, (N, 2l + 1, F) for l = 0, 1, …."""
    return [atoms.degree(degree) for degree in range(atoms.l_max + 1)]
