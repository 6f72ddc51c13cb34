"""The two blocks of PaiNN: messages between atoms, and the exchange between scalars and vectors of one atom."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.utils import scatter

from molspectra.layers.gated import smooth_norm
from molspectra.layers.initialization import init_linears


class PaiNNMessage(nn.Module):
    """Messages along the edges; Schütt et al. 2021 (arXiv:2102.03150), eqs. 7 and 8.

    With φ an MLP of the scalars, W a linear map of the radial basis damped by the cutoff C, and u_ij the unit vector
    from i to j:

        (m⁰, m¹, m²) = φ(x_j) ⊙ W(r_ij) C(r_ij)
        Δx_i = Σ_j m⁰,   Δv_i = Σ_j (v_j ⊙ m¹ + m² ⊗ u_ij)

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_rbf: Number of radial basis functions.
    """

    def __init__(self, hidden_channels: int, num_rbf: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(hidden_channels, hidden_channels), nn.SiLU(), nn.Linear(hidden_channels, 3 * hidden_channels)
        )
        self.filter_proj = nn.Linear(num_rbf, 3 * hidden_channels)
        init_linears(self)

    def forward(
        self,
        scalars: Float[Tensor, "atoms channels"],
        vectors: Float[Tensor, "atoms 3 channels"],
        edge_index: Int[Tensor, "2 edges"],
        rbf: Float[Tensor, "edges num_rbf"],
        envelope: Float[Tensor, "edges 1"],
        direction: Float[Tensor, "edges 3"],
    ) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "atoms 3 channels"]]:
        """The changes of scalars (N, F) and vectors (N, 3, F)."""
        source, target = edge_index
        filters = self.filter_proj(rbf) * envelope
        m0, m1, m2 = (self.mlp(scalars).index_select(0, source) * filters).chunk(3, dim=-1)
        along = m2.unsqueeze(1) * direction.unsqueeze(2)
        vector_message = torch.addcmul(along, vectors.index_select(0, source), m1.unsqueeze(1))
        num_atoms = scalars.shape[0]
        return (
            scatter(m0, target, dim=0, dim_size=num_atoms, reduce="sum"),
            scatter(vector_message, target, dim=0, dim_size=num_atoms, reduce="sum"),
        )


class PaiNNUpdate(nn.Module):
    """Exchange between the scalars and vectors of an atom; Schütt et al. 2021 (arXiv:2102.03150), eqs. 9 and 10.

        (a⁰, a¹, a²) = MLP[x ‖ |V v|]
        Δx = a⁰ + a¹ ⊙ ⟨U v, V v⟩,   Δv = a² ⊙ U v

    The norm is the smooth √(|·|² + ε), so that a vector that is exactly 0 has finite derivatives of every order.

    Args:
        hidden_channels: Width F of scalars and vectors.
    """

    def __init__(self, hidden_channels: int) -> None:
        super().__init__()
        self.vector_proj = nn.Linear(hidden_channels, 2 * hidden_channels, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * hidden_channels, hidden_channels), nn.SiLU(), nn.Linear(hidden_channels, 3 * hidden_channels)
        )
        init_linears(self)

    def forward(
        self, scalars: Float[Tensor, "atoms channels"], vectors: Float[Tensor, "atoms 3 channels"]
    ) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "atoms 3 channels"]]:
        """The changes of scalars (N, F) and vectors (N, 3, F)."""
        # Under autocast the projections run in half precision; products of vectors are taken in the vectors' own.
        u, v = self.vector_proj(vectors).to(vectors.dtype).chunk(2, dim=-1)
        a0, a1, a2 = self.mlp(torch.cat([scalars, smooth_norm(v)], dim=-1)).to(scalars.dtype).chunk(3, dim=-1)
        return a0 + a1 * (u * v).sum(dim=1), a2.unsqueeze(1) * u
