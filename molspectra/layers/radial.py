"""Cutoff envelope and radial basis of interatomic distances."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._validation import check_tensor, checked


class CosineCutoff(nn.Module):
    """Envelope C(r) = ½ (cos(π r / r_c) + 1) for r < r_c, else 0. Value and slope vanish at the cutoff r_c.

    Args:
        cutoff: r_c in Å.
    """

    @checked
    def __init__(self, cutoff: float) -> None:
        super().__init__()
        if not cutoff > 0:
            raise ValueError(f"cutoff must be positive (Å); got {cutoff}.")
        self.cutoff = cutoff

    def forward(self, distance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Map distances in Å to weights in [0, 1] of the same shape."""
        check_tensor("distance", distance)
        # Beyond r_c the cosine would rise again. An infinite cutoff gives π r / ∞ = 0 and a weight of 1.
        return torch.where(distance < self.cutoff, 0.5 * (torch.cos(distance * (math.pi / self.cutoff)) + 1), 0.0)

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"cutoff={self.cutoff}"


class ExpNormalBasis(nn.Module):
    """Gaussians of exp(-α r), damped by the cosine cutoff (PhysNet; used by TorchMD-Net).

    φ_k(r) = C(r) exp(-β_k (exp(-α r) - μ_k)²) with α = 5 Å / r_c, centers μ_k evenly spaced from exp(-r_c) to 1, and
    β_k = (2 / K · (1 - exp(-r_c)))^{-2}. Centers and widths are constants. They are part of the state nevertheless, so
    that imported weights keep the rounding they were trained with.

    Args:
        num_rbf: Number K of basis functions.
        cutoff: r_c in Å.
    """

    centers: Tensor
    betas: Tensor

    @checked
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

    def forward(
        self, distance: Float[Tensor, " edges"], envelope: Float[Tensor, " edges"] | None = None
    ) -> Float[Tensor, "edges num_rbf"]:
        """Map distances in Å, (E,), and their envelope, if it is known already, to basis values (E, K)."""
        check_tensor("distance", distance)
        # Evenly spaced centers in exp(-α r) resolve short distances, where energies vary most.
        decay = torch.exp(-self.alpha * distance).unsqueeze(-1)
        gaussian = torch.exp(-self.betas * (decay - self.centers).square())
        if envelope is None:
            envelope = self.envelope(distance)
        check_tensor("envelope", envelope)
        return envelope.unsqueeze(-1) * gaussian

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"num_rbf={self.centers.shape[0]}"
