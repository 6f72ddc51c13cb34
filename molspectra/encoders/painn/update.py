"""Update block of PaiNN."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra.layers.gated import smooth_norm
from molspectra.layers.initialization import init_linears


class PaiNNUpdate(nn.Module):
    """Exchange between the scalars and vectors of an atom (Schütt et al. 2021, arXiv:2102.03150, eqs. 9 and 10).

        (a⁰, a¹, a²) = MLP[x ‖ |V v|]
        Δx = a⁰ + a¹ ⊙ ⟨U v, V v⟩,   Δv = a² ⊙ U v

    The norm is the smooth √(|·|² + ε), so that a vector of exactly 0 has finite derivatives of every order.

    Args:
        hidden_channels: Width F of scalars and vectors.
    """

    def __init__(self, hidden_channels: int) -> None:
        super().__init__()
        # A bias would be the same vector in every orientation of the molecule, and break equivariance.
        self.vector_proj = nn.Linear(hidden_channels, 2 * hidden_channels, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * hidden_channels, hidden_channels), nn.SiLU(), nn.Linear(hidden_channels, 3 * hidden_channels)
        )
        init_linears(self)

    def forward(
        self, scalars: Float[Tensor, "atoms channels"], vectors: Float[Tensor, "atoms 3 channels"]
    ) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "atoms 3 channels"]]:
        """Return the changes of scalars (N, F) and vectors (N, 3, F)."""
        # Autocast runs the projections in half precision. Products of vectors keep the precision of the vectors.
        u, v = self.vector_proj(vectors).to(vectors.dtype).chunk(2, dim=-1)
        a0, a1, a2 = self.mlp(torch.cat([scalars, smooth_norm(v)], dim=-1)).to(scalars.dtype).chunk(3, dim=-1)
        # Only lengths and scalar products of vectors enter the scalars: both are invariant under rotation.
        return a0 + a1 * (u * v).sum(dim=1), a2.unsqueeze(1) * u
