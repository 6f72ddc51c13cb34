"""Feed-forward block of the irreps transformer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra.encoders.irreps_transformer.degrees import split_degrees
from molspectra.layers.gated import smooth_norm
from molspectra.layers.initialization import init_linears


class IrrepsFeedForward(nn.Module):
    """Gated block in which the features of an atom act on each other.

        u_l = W_l t_l,   (x', g_1, g_2, …) = MLP[x ‖ |u_1| ‖ |u_2| ‖ …],   t'_l = W'_l (g_l ⊙ u_l)

    This is the update block of PaiNN (Schütt et al. 2021, arXiv:2102.03150) for any number of degrees. Lengths are
    smooth at 0.

    Args:
        channels: Number F of channels of each degree.
        l_max: Highest degree.
    """

    def __init__(self, channels: int, l_max: int) -> None:
        super().__init__()
        # Only scalars can have a bias: a constant vector would single out a direction.
        self.in_proj = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(l_max))
        self.out_proj = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(l_max))
        self.mlp = nn.Sequential(
            nn.Linear((l_max + 1) * channels, channels), nn.SiLU(), nn.Linear(channels, (l_max + 1) * channels)
        )
        init_linears(self)

    def forward(
        self, features: Float[Tensor, "atoms components channels"]
    ) -> Float[Tensor, "atoms components channels"]:
        """Map features (N, (l_max + 1)², F) to new ones of the same shape."""
        scalars, *others = split_degrees(features, len(self.in_proj))
        others = [proj(part) for proj, part in zip(self.in_proj, others, strict=True)]
        # Only lengths enter the network, so that gates and new scalars are invariant under rotation.
        invariants = torch.cat([scalars.squeeze(1), *(smooth_norm(part) for part in others)], dim=-1)
        new_scalars, *gates = self.mlp(invariants).unsqueeze(1).chunk(1 + len(others), dim=-1)
        new = [proj(gate * part) for proj, gate, part in zip(self.out_proj, gates, others, strict=True)]
        return torch.cat([new_scalars, *new], dim=1)
