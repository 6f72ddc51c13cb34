"""Initial scalars of the equivariant transformer: elements and their surroundings."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra.encoders.equivariant_transformer.inputs import Neighborhood
from molspectra.layers.initialization import init_linears


class NeighborEmbedding(nn.Module):
    """Initial scalars x_i = W_c [E(z_i) ‖ Σ_{j≠i} E'(z_j) ⊙ (W φ_ij + b) C(r_ij)] + b_c.

    Args:
        hidden_channels: Width F of the embeddings.
        num_rbf: Number of radial basis functions.
        max_z: Largest atomic number.
    """

    def __init__(self, hidden_channels: int, num_rbf: int, max_z: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.distance_proj = nn.Linear(num_rbf, hidden_channels)
        self.combine = nn.Linear(2 * hidden_channels, hidden_channels)
        init_linears(self)

    def forward(
        self, z: Int[Tensor, " atoms"], embedded: Float[Tensor, "atoms channels"], neighborhood: Neighborhood
    ) -> Float[Tensor, "atoms channels"]:
        """Return scalars (N, F) of elements z (N,) with the embedding E(z), (N, F)."""
        # The bias b does not vanish at the cutoff: the envelope takes the sum to 0 there.
        filters = self.distance_proj(neighborhood.basis) * neighborhood.envelope
        neighbors = self.embedding(z)
        around = torch.zeros_like(embedded)
        # Both atoms of a pair see each other through the same filter.
        for source, target in (neighborhood.pairs, neighborhood.pairs.flip(0)):
            messages = neighbors.index_select(0, source) * filters
            around = around.index_add(0, target, messages.to(around.dtype))
        return self.combine(torch.cat([embedded, around], dim=-1))
