"""Initial features of the irreps transformer: the density of the neighbors of each atom."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.utils import scatter

from molspectra.encoders.irreps_transformer.degrees import split_degrees
from molspectra.layers.initialization import init_linears


class NeighborDensity(nn.Module):
    """Density Σ_{j≠i} C(r_ij) R_l(r_ij) ⊙ E'(z_j) Y_lm(u_ij) of the neighbors of an atom, for all degrees l.

    Args:
        hidden_channels: Number F of channels of each degree.
        num_rbf: Number of radial basis functions, in which R_l is linear.
        l_max: Highest degree.
        max_z: Largest atomic number.
    """

    def __init__(self, hidden_channels: int, num_rbf: int, l_max: int, max_z: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.distance_proj = nn.Linear(num_rbf, (l_max + 1) * hidden_channels)
        init_linears(self)

    def forward(
        self,
        z: Int[Tensor, " atoms"],
        edge_index: Int[Tensor, "2 edges"],
        rbf: Float[Tensor, "edges num_rbf"],
        envelope: Float[Tensor, "edges 1"],
        harmonics: Float[Tensor, "edges components"],
    ) -> Float[Tensor, "atoms components channels"]:
        """Compute the density (N, (l_max + 1)², F) from edges with or without self-loops."""
        source, target = edge_index
        # Self-loops get a weight of 0 instead of being selected away: the shapes do not depend on values.
        others = (source != target).unsqueeze(-1)
        elements = self.embedding(z).index_select(0, source) * (envelope * others)
        radial = (self.distance_proj(rbf).unflatten(-1, (self.l_max + 1, -1)) * elements.unsqueeze(1)).split(1, dim=1)
        # One radial function per degree, and the same for all of its components: this keeps the product equivariant.
        angular = split_degrees(harmonics.unsqueeze(-1), self.l_max)
        messages = torch.cat([y * r for y, r in zip(angular, radial, strict=True)], dim=1)
        return scatter(messages, target, dim=0, dim_size=z.shape[0], reduce="sum")
