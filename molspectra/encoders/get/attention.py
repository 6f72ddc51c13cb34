"""Attention layer of the geometric equivariant transformer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import scatter

from molspectra.encoders.get.neighborhood import Neighborhood
from molspectra.layers.initialization import init_linears
from molspectra.layers.layer_norm import LayerNorm


class EdgeAttention(nn.Module):
    """Attention over neighbors whose filters are functions of the edge features. :class:`.GET` has the equations.

    Args:
        hidden_channels: Width F of atoms and edges.
        num_heads: Number of heads.
        normalize: Apply a softmax over the heads to the attention of each edge.
        as_released: Damp the attention alone, ahead of the softmax, and not the vector message.
    """

    def __init__(self, hidden_channels: int, num_heads: int, *, normalize: bool, as_released: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_channels = hidden_channels // num_heads
        self.normalize = normalize
        self.as_released = as_released
        self.norm = LayerNorm(hidden_channels)
        self.q_proj = nn.Linear(hidden_channels, hidden_channels)
        self.k_proj = nn.Linear(hidden_channels, hidden_channels)
        self.v_proj = nn.Linear(hidden_channels, 3 * hidden_channels)
        self.dk_proj = nn.Linear(hidden_channels, hidden_channels)
        self.dv_proj = nn.Linear(hidden_channels, 3 * hidden_channels)
        self.o_proj = nn.Linear(hidden_channels, 3 * hidden_channels)
        # Without a bias, which would be a fixed direction in space.
        self.vec_proj = nn.Linear(hidden_channels, 3 * hidden_channels, bias=False)
        init_linears(self)

    def forward(
        self,
        scalars: Float[Tensor, "atoms channels"],
        vectors: Float[Tensor, "atoms 3 channels"],
        edges: Float[Tensor, "edges channels"],
        neighborhood: Neighborhood,
    ) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "atoms 3 channels"]]:
        """Return the changes of scalars (N, F) and vectors (N, 3, F)."""
        source, _ = neighborhood.edge_index
        normed = self.norm(scalars)
        attention = self._attention(normed, edges, neighborhood)
        # The 3d values of a head are its s⁰, s¹ and s² in turn.
        values = self.v_proj(normed).index_select(0, source) * F.silu(self.dv_proj(edges))
        s0, s1, s2 = self._by_head(values, 3).chunk(3, dim=-1)
        message = (s0 * attention.unsqueeze(-1)).flatten(1)
        vector_message = vectors.index_select(0, source) * s1.flatten(1).unsqueeze(1)
        vector_message = vector_message + s2.flatten(1).unsqueeze(1) * neighborhood.direction.unsqueeze(2)
        if not self.as_released:
            vector_message = vector_message * neighborhood.envelope.unsqueeze(2)
        gathered = _gather(message.to(scalars.dtype), neighborhood, scalars.shape[0])
        gathered_vectors = _gather(vector_message.to(vectors.dtype).flatten(1), neighborhood, scalars.shape[0])
        o1, o2, o3 = self.o_proj(gathered).to(scalars.dtype).chunk(3, dim=-1)
        p1, p2, p3 = self.vec_proj(vectors).to(vectors.dtype).chunk(3, dim=-1)
        # Vectors act on scalars by a scalar product, which is invariant.
        delta_scalars = (p1 * p2).sum(dim=1) * o2 + o3
        return delta_scalars, gathered_vectors.view_as(vectors) + p3 * o1.unsqueeze(1)

    def _attention(self, normed: Tensor, edges: Tensor, neighborhood: Neighborhood) -> Tensor:
        """Return the attention of each edge and head, (E, heads)."""
        source, target = neighborhood.edge_index
        ends = self.q_proj(normed).index_select(0, target) * self.k_proj(normed).index_select(0, source)
        attention = F.silu(self._by_head(ends * F.silu(self.dk_proj(edges))).sum(dim=-1))
        if self.as_released:
            attention = attention * neighborhood.envelope
        if self.normalize:
            attention = torch.softmax(attention, dim=-1)
        # Behind the softmax, which would otherwise give each head 1 / heads at the cutoff.
        return attention if self.as_released else attention * neighborhood.envelope

    def _by_head(self, channels: Tensor, kinds: int = 1) -> Tensor:
        """Divide channels (E, kinds · F) among the heads, (E, heads, kinds · F / heads)."""
        return channels.view(channels.shape[0], self.num_heads, kinds * self.head_channels)


def _gather(messages: Tensor, neighborhood: Neighborhood, num_atoms: int) -> Tensor:
    """Sum or average messages (E, F) over the neighbors of each atom."""
    total = scatter(messages, neighborhood.edge_index[1], dim=0, dim_size=num_atoms, reduce="sum")
    return total if neighborhood.weight is None else total * neighborhood.weight
