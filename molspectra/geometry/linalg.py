"""Inverse square root of symmetric 3×3 matrices, without LAPACK.

The forward diagonalises in closed form. It is batched and branch-free, never synchronises with the host, starts few
kernels, and is as accurate for repeated eigenvalues as for separate ones. The backward never divides by a gap between
eigenvalues. With Y = C^{-1/2}, differentiating Y Y = C^{-1} gives the Lyapunov equation

    Y dY + dY Y = -C^{-1} dC C^{-1},

whose solution in the eigenbasis of Y divides by sums y_a + y_b > 0. The solution of a Lyapunov equation is in turn
differentiated through Lyapunov equations, so that no derivative of any order divides by a gap.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._transforms import is_jit_traced, is_transformed, nested_forward_mode, primals
from molspectra._validation import check_tensor


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
    """Compute unordered eigenvalues (..., 3) and eigenvectors as columns (..., 3, 3) without iterations.

    One of three eigenvalues is far from both others, relative to their spread. It is the root of the characteristic
    equation that is best conditioned, and its eigenvector is a cross product without cancellation. A reflection takes
    this vector to the third axis, and one Jacobi rotation diagonalises the block that is left. All errors are of the
    order of the rounding error of the largest eigenvalue (Scherzinger & Dohrmann 2008).
    """
    identity, tiny = torch.eye(3, dtype=matrix.dtype, device=matrix.device), torch.finfo(matrix.dtype).tiny
    scale = torch.linalg.vector_norm(matrix, ord=torch.inf, dim=(-2, -1), keepdim=True)
    scaled = matrix / scale.clamp(min=tiny)  # so that products neither overflow nor underflow
    reflection = _reflection_to_third_axis(_farthest_eigenvector(scaled, identity), identity)

    block = reflection @ scaled @ reflection
    angle = torch.atan2(2 * block[..., 0, 1], block[..., 1, 1] - block[..., 0, 0]) / 2
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([cos, sin, -sin, cos], dim=-1).unflatten(-1, (2, 2))
    eigenvectors = torch.cat([reflection[..., :2] @ rotation, reflection[..., 2:]], dim=-1)
    # Quotients of Rayleigh: their errors are of second order in those of the eigenvectors.
    eigenvalues = (eigenvectors * (scaled @ eigenvectors)).sum(dim=-2)
    return eigenvalues * scale.squeeze(-1), eigenvectors


def _farthest_eigenvector(matrix: Tensor, identity: Tensor) -> Tensor:
    """Return the eigenvector (..., 1, 3) whose eigenvalue is farthest from the others, any for a multiple of 1."""
    tiny = torch.finfo(matrix.dtype).tiny
    mean = matrix.diagonal(dim1=-2, dim2=-1).mean(dim=-1, keepdim=True).unsqueeze(-1)
    deviator = torch.addcmul(matrix, mean, identity, value=-1)
    deviator = deviator / torch.linalg.vector_norm(deviator, dim=(-2, -1), keepdim=True).clamp(min=tiny)
    # Its eigenvalues are 2/√6 cos(α + 2πk/3) with cos 3α = 3√6 det. The farthest one has |α| ≤ π/6.
    first, second, third = deviator.unbind(dim=-2)
    cos_3alpha = 3 * math.sqrt(6) * (torch.linalg.cross(first, second) * third).sum(dim=-1, keepdim=True)
    magnitude = 2 / math.sqrt(6) * (cos_3alpha.abs().clamp(max=1.0).acos() / 3).cos()
    eigenvalue = magnitude.copysign(cos_3alpha).unsqueeze(-1)
    # The rows of a matrix without its largest eigenvector span the plane perpendicular to it.
    shifted = torch.addcmul(deviator, eigenvalue, identity, value=-1)
    normals = torch.linalg.cross(shifted, shifted.roll(1, dims=-2))
    length, row = torch.linalg.vector_norm(normals, dim=-1, keepdim=True).max(dim=-2, keepdim=True)
    longest = normals.gather(-2, row.expand(*row.shape[:-1], 3))
    return longest / length.clamp(min=tiny)


def _reflection_to_third_axis(vector: Tensor, identity: Tensor) -> Tensor:
    """Return Householder's reflections (..., 3, 3) that exchange unit vectors (..., 1, 3) and the third axis."""
    # The sign avoids cancellation.
    sign = torch.where(vector[..., 2:] < 0, -1.0, 1.0)
    normal = torch.addcmul(vector, sign, identity[2])
    normal = normal / torch.linalg.vector_norm(normal, dim=-1, keepdim=True)
    return torch.addcmul(identity, normal.mT, normal, value=-2)
