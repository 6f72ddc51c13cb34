"""Spherical Bessel basis of interatomic distances."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class BesselBasis(nn.Module):
    """Basis φ_n(r) = r_c / (K π r) sin(n π r / r_c), n = 1 … K, of DimeNet (arXiv:2003.03123), bounded by 1.

    At r = 0, where atoms coincide, the value is n / K and every derivative is finite. With the factor √(2 / r_c) of
    DimeNet, or none as in PaiNN, values reach about 10 for the close atoms that strong noise creates, and overflow in
    a few layers. The basis is not damped at the cutoff: multiply by :class:`~molspectra.layers.CosineCutoff`.

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
        """Map distances in Å, (E,), to basis values (E, K)."""
        order = torch.arange(1, self.num_rbf + 1, device=distance.device, dtype=distance.dtype)
        return order / self.num_rbf * _sin_over(distance.unsqueeze(-1) * (order * (math.pi / self.cutoff)))

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"num_rbf={self.num_rbf}, cutoff={self.cutoff}"


def _sin_over(x: Tensor) -> Tensor:
    """Return sin(x) / x with finite derivatives of every order."""
    # Near 0 the derivatives of the quotient cancel to rounding noise (the second one of torch.sinc is NaN): the Taylor
    # series up to x¹⁴ takes over there, by the scheme of Horner.
    near = x.abs() < 0.5
    square = torch.where(near, x, 0.0).square()
    series = torch.zeros_like(x)
    for order in range(7, -1, -1):
        series = series * square + (-1) ** order / math.factorial(2 * order + 1)
    away = torch.where(near, 1.0, x)
    return torch.where(near, series, torch.sin(away) / away)
