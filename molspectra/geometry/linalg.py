"""Inverse square root of symmetric 3×3 matrices, without LAPACK.

The forward diagonalises by a fixed number of Jacobi sweeps. It is batched and branch-free, never synchronises with the
host, and is as accurate for repeated eigenvalues as for separate ones. The backward never divides by a gap between
eigenvalues. With Y = C^{-1/2}, differentiating Y Y = C^{-1} gives the Lyapunov equation

    Y dY + dY Y = -C^{-1} dC C^{-1},

whose solution in the eigenbasis of Y divides by sums y_a + y_b > 0. The solution of a Lyapunov equation is in turn
differentiated through Lyapunov equations, so that no derivative of any order divides by a gap.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._transforms import is_jit_traced, is_transformed, nested_forward_mode, primals
from molspectra._validation import check_tensor

# Cyclic Jacobi sweeps converge quadratically. Three reach float64 rounding on almost every 3×3 matrix, five on all.
_SWEEPS = 5


def symmetric_inverse_sqrt(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Compute C^{-1/2} of symmetric positive definite 3×3 matrices, differentiable any number of times.

    Inputs of any dtype are upcast to float64, and only their symmetric part counts. Eigenvalues are floored at the
    rounding error of the largest one, so that rank-deficient input gives finite results. The matrix 0 gives 0.

    Args:
        matrix: Symmetric positive (semi)definite matrices, (..., 3, 3).

    Returns:
        The symmetric inverse square roots, same shape and dtype.

    Raises:
        ValueError: the last two dimensions are not 3×3.

    Example:
        >>> symmetric_inverse_sqrt(torch.diag(torch.tensor([1.0, 4.0, 16.0]))).diagonal()
        tensor([1.0000, 0.5000, 0.2500])
    """
    check_tensor("matrix", matrix)
    if matrix.shape[-2:] != (3, 3):
        raise ValueError(f"matrix must have shape (..., 3, 3); got {tuple(matrix.shape)}.")
    double = matrix.double()
    symmetric = (double + double.mT) / 2
    if is_jit_traced():
        return _traced_inverse_sqrt(symmetric).to(matrix.dtype)
    function = _TransformedInverseSqrt if is_transformed() else _InverseSqrt
    root, *_ = function.apply(symmetric)
    return root.to(matrix.dtype)


def _traced_inverse_sqrt(matrix: Tensor) -> Tensor:
    """Compute C^{-1/2} in operations that `torch.jit.save` can write, with the first two derivatives."""
    constant = matrix.detach()
    root, values, eigenvectors = _inverse_sqrt(constant)
    y = values.unsqueeze(-1)
    # Newton's method for Y C Y = 1 with the Jacobian at the solution. The residual is 0, and each step makes one more
    # derivative of it vanish.
    solution, one = root, root @ constant @ root
    for _ in range(2):
        residual = eigenvectors.mT @ (one - solution @ matrix @ solution) @ eigenvectors
        sums = y + y.mT
        step = residual * (y * y.mT) / torch.where(sums > 0, sums, 1.0)
        solution = solution + eigenvectors @ step @ eigenvectors.mT
    return solution


def _inverse_sqrt(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute C^{-1/2}, its eigenvalues and its eigenvectors."""
    eigenvalues, eigenvectors = _eigh(matrix)
    largest = eigenvalues.amax(dim=-1, keepdim=True)
    # Below its rounding error, an eigenvalue of a rank-deficient matrix is noise of either sign.
    floored = torch.maximum(eigenvalues, largest * torch.finfo(matrix.dtype).eps)
    values = torch.where(largest > 0, floored.clamp(min=torch.finfo(matrix.dtype).tiny).rsqrt(), 0.0)
    return (eigenvectors * values.unsqueeze(-2)) @ eigenvectors.mT, values, eigenvectors


class _InverseSqrt(torch.autograd.Function):
    """C → C^{-1/2}, with its eigenvalues and eigenvectors, through which no derivative flows."""

    @staticmethod
    def forward(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _inverse_sqrt(matrix)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        _, values, eigenvectors = output
        ctx.mark_non_differentiable(values, eigenvectors)
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> Tensor:
        root, values, eigenvectors = ctx.saved_tensors
        # The adjoint of dC → dY: solve the Lyapunov equation, then multiply by -C^{-1} on both sides.
        inverse = root @ root
        return -inverse @ _lyapunov(root, (grad + grad.mT) / 2, values, eigenvectors) @ inverse


class _Lyapunov(torch.autograd.Function):
    """Solution X of Y X + X Y = G, for symmetric Y ≥ 0 with known eigenvalues and eigenvectors."""

    @staticmethod
    def forward(root: Tensor, rhs: Tensor, values: Tensor, eigenvectors: Tensor) -> Tensor:
        # In the eigenbasis the equation is diagonal: (y_a + y_b) X_ab = G_ab.
        sums = values.unsqueeze(-1) + values.unsqueeze(-2)
        solution = eigenvectors.mT @ rhs @ eigenvectors / torch.where(sums > 0, sums, 1.0)
        return eigenvectors @ solution @ eigenvectors.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        root, _, values, eigenvectors = inputs
        ctx.save_for_backward(root, output, values, eigenvectors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        root, solution, values, eigenvectors = ctx.saved_tensors
        adjoint = _lyapunov(root, grad, values, eigenvectors)
        return -(adjoint @ solution.mT + solution.mT @ adjoint), adjoint, None, None


def _lyapunov(root: Tensor, rhs: Tensor, values: Tensor, eigenvectors: Tensor) -> Tensor:
    function = _TransformedLyapunov if is_transformed() else _Lyapunov
    return function.apply(root, rhs, values, eigenvectors)


class _TransformedInverseSqrt(_InverseSqrt):
    """The same with rules for forward mode and `vmap`, which the compiler does not accept."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        _InverseSqrt.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*output)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[Tensor, None, None]:
        with nested_forward_mode():
            root, values, eigenvectors = primals(ctx.saved_tensors)
            inverse = root @ root
            rhs = -inverse @ (tangent + tangent.mT) / 2 @ inverse
            return _TransformedLyapunov.apply(root, rhs, values, eigenvectors), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], matrix: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _TransformedInverseSqrt.apply(matrix.movedim(in_dims[0], 0)), (0, 0, 0)


class _TransformedLyapunov(_Lyapunov):
    """The same with rules for forward mode and `vmap`."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _Lyapunov.setup_context(ctx, inputs, output)
        root, _, values, eigenvectors = inputs
        ctx.save_for_forward(root, output, values, eigenvectors)

    @staticmethod
    def jvp(ctx: Any, of_root: Tensor, of_rhs: Tensor, *_: Any) -> Tensor:
        with nested_forward_mode():
            root, solution, values, eigenvectors = primals(ctx.saved_tensors)
            # Differentiate both sides of the equation.
            rhs = of_rhs - of_root @ solution - solution @ of_root
            return _TransformedLyapunov.apply(root, rhs, values, eigenvectors)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        stacked = (
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(tensors, in_dims, strict=True)
        )
        return _TransformedLyapunov.apply(*stacked), 0


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Compute unordered eigenvalues (..., 3) and eigenvectors as columns (..., 3, 3) by cyclic Jacobi rotations.

    The six distinct entries are separate tensors of the batch's shape, so that each rotation consists of a few
    elementwise operations.
    """
    entry = {(i, j): matrix[..., i, j] for i in range(3) for j in range(i, 3)}
    vectors = [[torch.full_like(entry[0, 0], float(i == j)) for j in range(3)] for i in range(3)]
    for p, q, r in ((0, 1, 2), (0, 2, 1), (1, 2, 0)) * _SWEEPS:
        # Rotate in the plane of axes p and q so that entry (p, q) vanishes. Axis r is the third one.
        cos, sin, tan = _rotation(entry[p, p], entry[q, q], entry[p, q])
        shift = tan * entry[p, q]
        pr, qr = (min(p, r), max(p, r)), (min(q, r), max(q, r))
        entry[p, p], entry[q, q] = entry[p, p] - shift, entry[q, q] + shift
        entry[pr], entry[qr] = cos * entry[pr] - sin * entry[qr], sin * entry[pr] + cos * entry[qr]
        entry[p, q] = torch.zeros_like(shift)
        for row in vectors:
            row[p], row[q] = cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]
    eigenvalues = torch.stack([entry[i, i] for i in range(3)], dim=-1)
    return eigenvalues, torch.stack([torch.stack(row, dim=-1) for row in vectors], dim=-2)


def _rotation(app: Tensor, aqq: Tensor, apq: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return cosine, sine and tangent of the smaller angle that annihilates `apq`, which is 0 where `apq` is 0."""
    twice = 2 * apq
    difference = aqq - app
    # tan θ = sign(d)·2a / (|d| + √(d² + 4a²)), with hypot against overflow of the squares.
    denominator = difference.abs() + torch.hypot(difference, twice)
    sign = torch.ones_like(difference).masked_fill(difference < 0, -1.0)
    tan = torch.where(denominator > 0, sign * twice / torch.where(denominator > 0, denominator, 1.0), 0.0)
    cos = torch.rsqrt(1 + tan * tan)
    return cos, tan * cos, tan
