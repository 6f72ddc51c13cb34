"""Normal-inverse-gamma distributions, the output of evidential regression."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from molspectra.uncertainty.distribution import Distribution


@dataclass(frozen=True, eq=False, repr=False)
class Evidence(Distribution):
    """Normal-inverse-gamma distribution of each value (Amini et al., NeurIPS 2020, arXiv:1910.02600, eq. 4).

    The value is normal, N(μ, σ²), with unknown μ ~ N(γ, σ²/ν) and σ² ~ Γ⁻¹(α, β). The prediction is E[μ] = γ, the noise
    of the labels E[σ²] = β / (α - 1), and the uncertainty of the model Var[μ] = β / (ν (α - 1)) (eq. 5). Over all μ and
    σ² a value follows Student's t with 2α degrees of freedom (eq. 7), whose variance is the sum of both.
    """

    gamma: Float[Tensor, "*shape"]
    """γ, in units of the property."""
    nu: Float[Tensor, "*shape"]
    """ν > 0, virtual observations of the mean."""
    alpha: Float[Tensor, "*shape"]
    """α > 1, half the virtual observations of the variance."""
    beta: Float[Tensor, "*shape"]
    """β > 0, in squared units of the property."""

    @property
    def mean(self) -> Float[Tensor, "*shape"]:
        """E[μ] = γ."""
        return self.gamma

    @property
    def aleatoric(self) -> Float[Tensor, "*shape"]:
        """E[σ²], the variance of the labels' noise, in squared units of the property."""
        return self.beta / (self.alpha - 1)

    @property
    def epistemic(self) -> Float[Tensor, "*shape"]:
        """Var[μ], the variance of the model's prediction, in squared units of the property."""
        return self.aleatoric / self.nu

    @property
    def std(self) -> Float[Tensor, "*shape"]:
        """Standard deviation of a label, √(E[σ²] + Var[μ])."""
        return (self.aleatoric + self.epistemic).sqrt()

    @torch.no_grad()
    def cdf(self, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the probability of a label of at most `value`, by Student's t with 2α degrees of freedom (eq. 7)."""
        from scipy.special import stdtr

        scale = (self.beta * (1 + self.nu) / (self.nu * self.alpha)).sqrt()
        offset = (value - self.gamma) / scale
        probability = stdtr(2 * self.alpha.double().cpu().numpy(), offset.double().cpu().numpy())
        return torch.as_tensor(probability, dtype=self.gamma.dtype, device=self.gamma.device)

    def only(self, known: Bool[Tensor, "*shape"]) -> "Evidence":
        """Return γ = 0, ν = 1, α = 2 and β = 1 where `known` is False."""
        parts = zip((self.gamma, self.nu, self.alpha, self.beta), (0.0, 1.0, 2.0, 1.0), strict=True)
        return Evidence(*(torch.where(known, part, constant) for part, constant in parts))
