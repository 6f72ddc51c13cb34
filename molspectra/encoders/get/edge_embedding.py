"""Initial features of the edges."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra.layers.initialization import init_linears


class EdgeEmbedding(nn.Module):
    """Initial features ε⁰ = SiLU(W [s_j ‖ s_i ‖ SiLU(W₀ φ)] + b) and ε¹ = (W₁ φ) ⊙ ε⁰ of an edge j → i.

    s embeds an element, and φ is the radial basis.

    Args:
        hidden_channels: Width F of the features.
        num_rbf: Number of radial basis functions.
    """

    def __init__(self, hidden_channels: int, num_rbf: int) -> None:
        super().__init__()
        self.radial = nn.Linear(num_rbf, hidden_channels)
        self.combine = nn.Linear(3 * hidden_channels, hidden_channels)
        self.gate = nn.Linear(num_rbf, hidden_channels, bias=False)
        init_linears(self)

    def forward(
        self,
        source: Float[Tensor, "edges channels"],
        target: Float[Tensor, "edges channels"],
        basis: Float[Tensor, "edges num_rbf"],
    ) -> tuple[Float[Tensor, "edges channels"], Float[Tensor, "edges channels"]]:
        """Return ε⁰ and ε¹, (E, F) each, from both elements (E, F) and the radial basis (E, K)."""
        ends = torch.cat([source, target, F.silu(self.radial(basis)).to(source.dtype)], dim=-1)
        state = F.silu(self.combine(ends)).to(source.dtype)
        return state, self.gate(basis).to(source.dtype) * state
