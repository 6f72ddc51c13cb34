"""The 3×3 inverse square root, against 50-digit arithmetic and finite differences."""

import mpmath
import pytest
import torch

from molspectra.geometry import symmetric_inverse_sqrt

REPEATED = {
    "all equal": [1.0, 1.0, 1.0],
    "two equal, small": [0.2, 0.2, 1.0],
    "two equal, large": [0.3, 1.0, 1.0],
    "nearly equal": [1.0, 1.0 + 1e-9, 2.0],
    "distinct": [0.3, 1.0, 4.0],
}


def random_symmetric(eigenvalues: torch.Tensor) -> torch.Tensor:
    q = torch.linalg.qr(torch.randn(*eigenvalues.shape[:-1], 3, 3, dtype=torch.float64))[0]
    matrix = q * eigenvalues.unsqueeze(-2) @ q.mT
    return (matrix + matrix.mT) / 2


def exact(matrix: torch.Tensor) -> torch.Tensor:
    with mpmath.workdps(50):
        values, vectors = mpmath.eigsy(mpmath.matrix(matrix.tolist()))
        root = vectors * mpmath.diag([1 / mpmath.sqrt(value) for value in values]) * vectors.T
        return torch.tensor([[float(root[i, j]) for j in range(3)] for i in range(3)], dtype=torch.float64)


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e6])
def test_right_to_1e10_up_to_condition_1e6(condition):
    low, high = torch.tensor(1 / condition, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    middle = [low, (low * high).sqrt(), high, low * 1.0000001, high * 0.9999999]
    eigenvalues = torch.stack([torch.stack([low, m, high]) for m in middle * 8])
    matrices = random_symmetric(eigenvalues * 3.7)
    for matrix, root in zip(matrices, symmetric_inverse_sqrt(matrices), strict=True):
        expected = exact(matrix)
        assert (root - expected).abs().max() < 1e-10 * expected.abs().max()


def test_scale_does_not_matter():
    matrix = random_symmetric(torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64))
    for scale in (1e-100, 1e-8, 1e8, 1e100):
        root = symmetric_inverse_sqrt(scale * matrix) * scale**0.5
        torch.testing.assert_close(root, symmetric_inverse_sqrt(matrix), rtol=1e-12, atol=0)


def test_batch_shape_and_dtype():
    matrices = random_symmetric(torch.rand(2, 5, 3, dtype=torch.float64) + 0.1)
    roots = symmetric_inverse_sqrt(matrices.float())
    assert roots.dtype == torch.float32
    identity = torch.eye(3, dtype=torch.float32).expand(2, 5, 3, 3)
    torch.testing.assert_close(roots @ matrices.float() @ roots, identity, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(symmetric_inverse_sqrt(matrices)[1, 3], symmetric_inverse_sqrt(matrices[1, 3]))


@pytest.mark.parametrize("eigenvalues", REPEATED.values(), ids=REPEATED.keys())
def test_first_and_second_derivatives(eigenvalues):
    matrix = random_symmetric(torch.tensor(eigenvalues, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(symmetric_inverse_sqrt, matrix)
    assert torch.autograd.gradgradcheck(symmetric_inverse_sqrt, matrix)


def test_derivative_at_condition_1e6():
    """Along a direction, against the exact divided differences f[a, b] = -1 / (√a √b (√a + √b)) in the eigenbasis."""
    values = torch.tensor([1e-6, 1e-6, 1.0], dtype=torch.float64)
    roots = values.sqrt()
    matrix = torch.diag(values).requires_grad_()
    direction = torch.randn(3, 3, dtype=torch.float64)
    direction = direction + direction.mT
    expected = -direction / (torch.outer(roots, roots) * (roots[:, None] + roots))
    _, actual = torch.autograd.functional.jvp(symmetric_inverse_sqrt, matrix, direction)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("eigenvalues", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [-1e-18, 1.0, 2.0]])
def test_rank_deficient_input_is_finite(eigenvalues):
    matrix = random_symmetric(torch.tensor(eigenvalues, dtype=torch.float64)).requires_grad_()
    root = symmetric_inverse_sqrt(matrix)
    assert root.isfinite().all()
    (grad,) = torch.autograd.grad(root.sum(), matrix)
    assert grad.isfinite().all()


@pytest.mark.usefixtures("no_shape_checks")
def test_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3, 3\); got \(2, 2\)"):
        symmetric_inverse_sqrt(torch.eye(2))
