"""Normalization of features of several degrees."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra.encoders.irreps_transformer.degrees import split_degrees
from molspectra.layers.layer_norm import LayerNorm


class IrrepsNorm(nn.Module):
    """LayerNorm of the scalars, and t ← w_l ⊙ t / √(mean_c |t_c|² + ε) for each degree l > 0.

    ε bounds the gain at 1/√ε. It is deliberately not tiny. Features that vanish by symmetry, as the vectors of an atom
    at a center of symmetry or degree 2 at a tetrahedral site, are pure rounding noise. A large gain would turn that
    noise into features.

    Args:
        channels: Number F of channels of each degree.
        l_max: Highest degree.
        eps: ε, in squared units of the features.
    """

    def __init__(self, channels: int, l_max: int, eps: float) -> None:
        super().__init__()
        self.l_max = l_max
        self.eps = eps
        self.scalar_norm = LayerNorm(channels)
        self.weight = nn.Parameter(torch.ones(l_max, channels))

    def forward(
        self, features: Float[Tensor, "atoms components channels"]
    ) -> Float[Tensor, "atoms components channels"]:
        """Normalize features (N, (l_max + 1)², F)."""
        with torch.autocast(features.device.type, enabled=False):
            scalars, *others = split_degrees(features.to(self.weight.dtype), self.l_max)
            normed = [self.scalar_norm(scalars)]
            for part, weight in zip(others, self.weight, strict=True):
                # The squared length of all components of a degree is invariant under rotation.
                mean_square = part.square().sum(dim=1, keepdim=True).mean(dim=2, keepdim=True)
                normed.append(part * torch.rsqrt(mean_square + self.eps) * weight)
            return torch.cat(normed, dim=1)

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"{self.weight.shape[1]}, l_max={self.l_max}, eps={self.eps}"
