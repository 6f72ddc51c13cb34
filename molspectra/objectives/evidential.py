"""Loss of evidential regression."""

import math

import torch
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_tensor
from molspectra.uncertainty import Evidence


class EvidentialLoss(Configurable, nn.Module):
    """Loss of each label under a normal-inverse-gamma distribution (Amini et al. 2020, arXiv:1910.02600, eqs. 8 to 10).

        L = ½ ln(π/ν) - α ln Ω + (α + ½) ln((y - γ)² ν + Ω) + ln(Γ(α) / Γ(α + ½)) + λ |y - γ| / unit · (2ν + α)

    with Ω = 2β (1 + ν). The first terms are the negative logarithm of Student's t, and the last penalizes evidence for
    wrong predictions. The paper has no unit, as it standardizes labels. Set it to the standard deviation of yours, so
    that λ does not depend on their unit.

    Args:
        regularization: λ. The paper takes 0.01.
        unit: Unit of errors in the penalty, in units of the property.

    Raises:
        ValueError: `regularization` is negative, or `unit` is not positive and finite.

    Example:
        >>> one = torch.ones(1)
        >>> EvidentialLoss(regularization=0.0)(Evidence(0 * one, one, 2 * one, one), 0 * one)  # -ln of t(4 dof) at 0
        tensor([0.9808])
    """

    def __init__(self, regularization: float = 0.01, unit: float = 1.0) -> None:
        super().__init__()
        if not 0 <= regularization < math.inf or not 0 < unit < math.inf:
            raise ValueError(
                f"regularization must not be negative, and unit must be positive; got {regularization} and {unit}."
            )
        self.regularization = float(regularization)
        self.unit = float(unit)

    def forward(self, predicted: Evidence, target: Tensor) -> Tensor:
        """Return the loss of each label, in the shape of the labels."""
        if not isinstance(predicted, Evidence):
            raise TypeError(
                f"predicted must be Evidence, as heads.EvidentialHead returns it; got a {type(predicted).__name__}. "
                "Call loss(head(atoms, data), target)."
            )
        check_tensor("target", target)
        gamma, nu, alpha, beta = predicted.gamma, predicted.nu, predicted.alpha, predicted.beta
        error = target - gamma
        omega = 2 * beta * (1 + nu)
        # α ln Ω and (α + ½) ln(… + Ω) nearly cancel: their difference is a logarithm of 1 plus a small number.
        surprise = (alpha + 0.5) * torch.log1p(error.square() * nu / omega) + 0.5 * omega.log()
        likelihood = 0.5 * (math.pi / nu).log() + surprise + torch.lgamma(alpha) - torch.lgamma(alpha + 0.5)
        return likelihood + self.regularization * error.abs() / self.unit * (2 * nu + alpha)
