"""Cutoff envelope and radial basis of interatomic distances."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CosineCutoff(nn.Module):
    """C(r) = ½ (cos(π r / r_c) + 1) for r < r_c, else 0: value and slope vanish at the cutoff r_c.

    Args:
        cutoff: r_c in Å.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        if not cutoff > 0:
            raise ValueError(f"cutoff must be positive (Å); got {cutoff}.")
        self.cutoff = cutoff

    def forward(self, distance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Distances in Å → weights in [0, 1], same shape."""
        return torch.where(distance < self.cutoff, 0.5 * (torch.cos(distance * (math.pi / self.cutoff)) + 1), 0.0)

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return f"cutoff={self.cutoff}"


class ExpNormalBasis(nn.Module):
    """Gaussians of exp(-α r), damped by the cosine cutoff (PhysNet; used by TorchMD-Net).

    φ_k(r) = C(r) exp(-β_k (exp(-α r) - μ_k)²) with α = 5 Å / r_c, centres μ_k evenly spaced from exp(-r_c) to 1, and
    β_k = (2 / K · (1 - exp(-r_c)))^{-2}. Centres and widths are constants; they are part of the state so that imported
    weights keep the rounding they were trained with.

    Args:
        num_rbf: Number K of basis functions.
        cutoff: r_c in Å.
    """

    centers: Tensor
    betas: Tensor

    def __init__(self, num_rbf: int, cutoff: float) -> None:
        super().__init__()
        if num_rbf < 2:
            raise ValueError(f"num_rbf must be at least 2; got {num_rbf}.")
        if not 0 < cutoff < math.inf:
            raise ValueError(f"cutoff must be positive and finite (Å); got {cutoff}.")
        self.envelope = CosineCutoff(cutoff)
        self.alpha = 5.0 / cutoff
        first = math.exp(-cutoff)
        self.register_buffer("centers", torch.linspace(first, 1, num_rbf))
        self.register_buffer("betas", torch.full((num_rbf,), (2 / num_rbf * (1 - first)) ** -2))

    def forward(self, distance: Float[Tensor, " edges"]) -> Float[Tensor, "edges num_rbf"]:
        """Distances in Å, (E,) → basis values (E, K)."""
        decay = torch.exp(-self.alpha * distance).unsqueeze(-1)
        gaussian = torch.exp(-self.betas * (decay - self.centers).square())
        return self.envelope(distance).unsqueeze(-1) * gaussian

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return f"num_rbf={self.centers.shape[0]}"


class BesselBasis(nn.Module):
    """φ_n(r) = r_c / (K π r) sin(n π r / r_c) for n = 1 … K: the basis of DimeNet (arXiv:2003.03123), bounded by 1.

    At r = 0, of atoms that coincide, the value is n / K and every derivative is finite. With DimeNet's √(2 / r_c) for a
    factor, or none as in PaiNN, values reach some 10 for atoms that come close, as they do under strong noise, and
    overflow in a few layers. There is no damping in it: multiply by :class:`CosineCutoff`.

    Args:
        num_rbf: Number K of basis functions.
        cutoff: r_c in Å.
    """

    def __init__(self, num_rbf: int, cutoff: float) -> None:
        super().__init__()
        if num_rbf < 1:
            raise ValueError(f"num_rbf must be positive; got {num_rbf}.")
        if not 0 < cutoff < math.inf:
            raise ValueError(f"cutoff must be positive and finite (Å); got {cutoff}.")
        self.num_rbf = num_rbf
        self.cutoff = cutoff

    def forward(self, distance: Float[Tensor, " edges"]) -> Float[Tensor, "edges num_rbf"]:
        """Distances in Å, (E,) → basis values (E, K)."""
        order = torch.arange(1, self.num_rbf + 1, device=distance.device, dtype=distance.dtype)
        return order / self.num_rbf * _sin_over(distance.unsqueeze(-1) * (order * (math.pi / self.cutoff)))

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return f"num_rbf={self.num_rbf}, cutoff={self.cutoff}"


def _sin_over(x: Tensor) -> Tensor:
    """sin(x) / x, by its series near 0, where the derivatives of the quotient cancel (torch.sinc's second is NaN)."""
    near = x.abs() < 0.5
    square = torch.where(near, x, 0.0).square()
    series = torch.zeros_like(x)
    for order in range(7, -1, -1):
        series = series * square + (-1) ** order / math.factorial(2 * order + 1)
    away = torch.where(near, 1.0, x)
    return torch.where(near, series, torch.sin(away) / away)
