"""Message block of PaiNN."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.utils import scatter

from molspectra.layers.initialization import init_linears


class PaiNNMessage(nn.Module):
    """Messages along the edges (Schütt et al. 2021, arXiv:2102.03150, eqs. 7 and 8).

    φ is an MLP of the scalars, W a linear map of the radial basis, C the cutoff envelope, and u_ij the unit vector from
    i to j:

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
        """Return the changes of scalars (N, F) and vectors (N, 3, F)."""
        source, target = edge_index
        # The bias of W does not vanish at the cutoff: the envelope takes the filters to 0 there.
        filters = self.filter_proj(rbf) * envelope
        # φ depends on the source atom alone: it is computed per atom, then copied to the edges.
        m0, m1, m2 = (self.mlp(scalars).index_select(0, source) * filters).chunk(3, dim=-1)
        # Scaled directions and vectors of the source are equivariant, as m¹ and m² are invariant.
        along = m2.unsqueeze(1) * direction.unsqueeze(2)
        vector_message = torch.addcmul(along, vectors.index_select(0, source), m1.unsqueeze(1))
        num_atoms = scalars.shape[0]
        return (
            scatter(m0, target, dim=0, dim_size=num_atoms, reduce="sum"),
            scatter(vector_message, target, dim=0, dim_size=num_atoms, reduce="sum"),
        )
