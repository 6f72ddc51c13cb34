"""What an atom's features of several degrees (N, (l_max + 1)², F) go through by themselves: norm and MLP."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra.layers.gated import smooth_norm
from molspectra.layers.initialization import init_linears


class IrrepsNorm(nn.Module):
    """LayerNorm of the scalars; for each degree l > 0, t ← w_l ⊙ t / √(mean_c |t_c|² + ε).

    ε bounds the gain at 1/√ε. It is deliberately not tiny: what should vanish by symmetry (the vectors of an atom on
    a centre of symmetry, degree 2 on a tetrahedral one) is pure rounding noise, which a large gain would turn into
    features.

    Args:
        channels: Number F of channels of each degree.
        l_max: The highest degree.
        eps: ε, in squared units of the features.
    """

    def __init__(self, channels: int, l_max: int, eps: float) -> None:
        super().__init__()
        self.l_max = l_max
        self.eps = eps
        self.scalar_norm = nn.LayerNorm(channels)
        self.weight = nn.Parameter(torch.ones(l_max, channels))

    def forward(
        self, features: Float[Tensor, "atoms components channels"]
    ) -> Float[Tensor, "atoms components channels"]:
        """(N, (l_max + 1)², F) → the same shape."""
        with torch.autocast(features.device.type, enabled=False):
            scalars, *others = split_degrees(features.to(self.weight.dtype), self.l_max)
            normed = [self.scalar_norm(scalars)]
            for part, weight in zip(others, self.weight, strict=True):
                mean_square = part.square().sum(dim=1, keepdim=True).mean(dim=2, keepdim=True)
                normed.append(part * torch.rsqrt(mean_square + self.eps) * weight)
            return torch.cat(normed, dim=1)

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return f"{self.weight.shape[1]}, l_max={self.l_max}, eps={self.eps}"


class IrrepsFeedForward(nn.Module):
    """Features of an atom act on each other: t ← W₂ (g ⊙ W₁ t), the gates g and new scalars being an MLP's.

        u_l = W₁ t_l,   (x', g_1, g_2, …) = MLP[x ‖ |u_1| ‖ |u_2| ‖ …],   t'_l = W₂ (g_l ⊙ u_l)

    the block of PaiNN (Schütt et al. 2021, arXiv:2102.03150) for any number of degrees. Lengths are smooth at 0.

    Args:
        channels: Number F of channels of each degree.
        l_max: The highest degree.
    """

    def __init__(self, channels: int, l_max: int) -> None:
        super().__init__()
        self.in_proj = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(l_max))
        self.out_proj = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(l_max))
        self.mlp = nn.Sequential(
            nn.Linear((l_max + 1) * channels, channels), nn.SiLU(), nn.Linear(channels, (l_max + 1) * channels)
        )
        init_linears(self)

    def forward(
        self, features: Float[Tensor, "atoms components channels"]
    ) -> Float[Tensor, "atoms components channels"]:
        """(N, (l_max + 1)², F) → the same shape."""
        scalars, *others = split_degrees(features, len(self.in_proj))
        others = [proj(part) for proj, part in zip(self.in_proj, others, strict=True)]
        invariants = torch.cat([scalars.squeeze(1), *(smooth_norm(part) for part in others)], dim=-1)
        new_scalars, *gates = self.mlp(invariants).unsqueeze(1).chunk(1 + len(others), dim=-1)
        new = [proj(gate * part) for proj, gate, part in zip(self.out_proj, gates, others, strict=True)]
        return torch.cat([new_scalars, *new], dim=1)


def split_degrees(
    features: Float[Tensor, "atoms components channels"], l_max: int
) -> tuple[Float[Tensor, "atoms _ channels"], ...]:
    """(N, (l_max + 1)², F) → for each degree l its (N, 2l + 1, F)."""
    return features.split([2 * degree + 1 for degree in range(l_max + 1)], dim=1)
