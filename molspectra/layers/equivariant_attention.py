"""One attention layer of the equivariant transformer."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import scatter

from molspectra.layers.initialization import init_linears


class EquivariantAttention(nn.Module):
    """Attention over neighbours that updates scalars and vectors; the equations stand at the encoder.

    Queries, keys, values and radial filters are laid out head by head; a head's 3d values (and filters) are its s⁰, s¹
    and s² in turn.

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_heads: Number of heads.
        num_rbf: Number of radial basis functions.
        as_released: Damp the attention only, not the vector message.
    """

    def __init__(self, hidden_channels: int, num_heads: int, num_rbf: int, as_released: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.as_released = as_released
        self.norm = nn.LayerNorm(hidden_channels)
        self.q_proj = nn.Linear(hidden_channels, hidden_channels)
        self.k_proj = nn.Linear(hidden_channels, hidden_channels)
        self.v_proj = nn.Linear(hidden_channels, 3 * hidden_channels)
        self.o_proj = nn.Linear(hidden_channels, 3 * hidden_channels)
        self.vec_proj = nn.Linear(hidden_channels, 3 * hidden_channels, bias=False)
        self.dk_proj = nn.Linear(num_rbf, hidden_channels)
        self.dv_proj = nn.Linear(num_rbf, 3 * hidden_channels)
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
        num_atoms, channels = scalars.shape
        by_head = (self.num_heads, -1)
        normed = self.norm(scalars)
        query = self.q_proj(normed).unflatten(-1, by_head)
        key = self.k_proj(normed).unflatten(-1, by_head)
        value = self.v_proj(normed).unflatten(-1, by_head)
        key_filter = F.silu(self.dk_proj(rbf)).unflatten(-1, by_head)
        value_filter = F.silu(self.dv_proj(rbf))
        if not self.as_released:
            value_filter = value_filter * envelope
        value_filter = value_filter.unflatten(-1, by_head)

        # index_select rather than indexing: its backward is one index_add, several times as fast on the CPU.
        at_target, at_source = query.index_select(0, target), key.index_select(0, source)
        attention = F.silu((at_target * at_source * key_filter).sum(dim=-1))
        if self.as_released:
            attention = attention * envelope
        s0, s1, s2 = (value.index_select(0, source) * value_filter).chunk(3, dim=-1)
        message = (s0 * attention.unsqueeze(-1)).flatten(1)
        s1, s2 = s1.flatten(1).unsqueeze(1), s2.flatten(1).unsqueeze(1)
        vector_message = torch.addcmul(vectors.index_select(0, source) * s1, s2, direction.unsqueeze(2))
        gathered = scatter(message, target, dim=0, dim_size=num_atoms, reduce="sum")
        gathered_vectors = scatter(vector_message, target, dim=0, dim_size=num_atoms, reduce="sum")

        o1, o2, o3 = self.o_proj(gathered).chunk(3, dim=-1)
        p1, p2, p3 = self.vec_proj(vectors).chunk(3, dim=-1)
        delta = (p1 * p2).sum(dim=1) * o2 + o3
        return delta, p3 * o1.unsqueeze(1) + gathered_vectors
