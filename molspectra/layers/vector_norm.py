"""Normalization of vector features (N, 3, F) that commutes with rotations and reflections."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra.geometry.linalg import symmetric_inverse_sqrt


class RMSVectorNorm(nn.Module):
    """Norm v ← w ⊙ v / √(mean_c |v_c|² + ε), with one scale for all vectors of an atom.

    ε bounds the gain at 1/√ε. It is deliberately not tiny: the vectors of an atom at a center of symmetry are pure
    rounding noise, and a large gain would turn that noise into features.

    Args:
        channels: Number F of vector channels.
        eps: ε, in squared units of the vectors. Default: 0.1.
    """

    def __init__(self, channels: int, eps: float | None = None) -> None:
        super().__init__()
        self.eps = 0.1 if eps is None else eps
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, vectors: Float[Tensor, "atoms 3 channels"]) -> Float[Tensor, "atoms 3 channels"]:
        """Normalize vectors (N, 3, F)."""
        # Squares of half-precision vectors would lose the small ones.
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.to(self.weight.dtype)
            mean_square = vectors.square().sum(dim=1, keepdim=True).mean(dim=2, keepdim=True)
            return vectors * torch.rsqrt(mean_square + self.eps) * self.weight

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


class WhitenedVectorNorm(nn.Module):
    """Equivariant layer norm v ← w ⊙ (Σ + ε·1)^{-1/2} (v - mean_c v), with Σ = 1/F Σ_c v_c v_cᵀ after centering.

    This is the equivariant layer normalization of "Pre-training via Denoising for Molecular Property Prediction" (Zaidi
    et al. 2022, arXiv:2206.00133). It is computed in float64 and cast back.

    The release regularizes with ε·diag(1, 2, 3) + ε·1, which ties the result to the coordinate axes: at published size,
    a rotation changes vectors of rms 1 by an rms of 0.38. Here the regularizer is isotropic and the norm exactly
    equivariant. The default ε is larger than the released 1e-5. In a direction in which the vectors only differ by
    rounding, as out of the plane of a planar molecule, the gain is 1/√ε.

    Args:
        channels: Number F of vector channels.
        eps: ε, in squared units of the vectors. Default: 1e-3, or 1e-5 if `as_released`.
        as_released: Use ε·diag(2, 3, 4), the released arithmetic.
    """

    def __init__(self, channels: int, eps: float | None = None, as_released: bool = False) -> None:
        super().__init__()
        self.eps = eps if eps is not None else (1e-5 if as_released else 1e-3)
        self.as_released = as_released
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, vectors: Float[Tensor, "atoms 3 channels"]) -> Float[Tensor, "atoms 3 channels"]:
        """Normalize vectors (N, 3, F)."""
        with torch.autocast(vectors.device.type, enabled=False):
            # Σ of a planar molecule is nearly singular: its inverse root amplifies the rounding of float32 by 1/√ε.
            vectors = vectors.double()
            centered = vectors - vectors.mean(dim=2, keepdim=True)
            covariance = centered @ centered.mT / centered.shape[2]
            diagonal = torch.ones(3, dtype=torch.float64, device=vectors.device)
            if self.as_released:
                diagonal = diagonal.cumsum(0) + 1  # 2, 3, 4
            root = symmetric_inverse_sqrt(covariance + torch.diag(self.eps * diagonal))
            return (root @ centered).to(self.weight.dtype) * self.weight

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"{self.weight.shape[0]}, eps={self.eps}, as_released={self.as_released}"


def make_vector_norm(
    kind: Literal["rms", "whitened"] | None, channels: int, eps: float | None = None, as_released: bool = False
) -> nn.Module:
    """Create a vector norm by its kind. None stands for no norm.

    Args:
        kind: "rms", "whitened" or None.
        channels: Number F of vector channels.
        eps: ε. Default: that of the kind.
        as_released: See :class:`WhitenedVectorNorm`.
    """
    if kind == "rms":
        return RMSVectorNorm(channels, eps)
    if kind == "whitened":
        return WhitenedVectorNorm(channels, eps, as_released=as_released)
    return nn.Identity()
