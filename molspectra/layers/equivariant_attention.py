"""One attention layer of the equivariant transformer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra.layers.initialization import init_linears
from molspectra.layers.pair_messages import Filters, Neighborhood, pair_messages


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
        neighborhood: Neighborhood,
    ) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "atoms 3 channels"]]:
        """The changes of scalars (N, F) and vectors (N, 3, F)."""
        normed = self.norm(scalars)
        # A head's s⁰, s¹ and s² stand together in the weights; here all heads' s⁰ come first, then their s¹ and s².
        weight = torch.cat([self.k_proj.weight, self._by_kind(self.v_proj.weight)])
        bias = torch.cat([self.k_proj.bias, self._by_kind(self.v_proj.bias)])
        filters = Filters(
            torch.cat([self.dk_proj.weight, self._by_kind(self.dv_proj.weight)]),
            torch.cat([self.dk_proj.bias, self._by_kind(self.dv_proj.bias)]),
        )
        gathered, gathered_vectors = pair_messages(
            self.q_proj(normed),
            F.linear(normed, weight, bias),
            vectors,
            filters,
            neighborhood,
            self.num_heads,
            damp_attention=self.as_released,
        )
        o1, o2, o3 = self.o_proj(gathered).chunk(3, dim=-1)
        p1, p2, p3 = self.vec_proj(vectors).chunk(3, dim=-1)
        delta = (p1 * p2).sum(dim=1) * o2 + o3
        return delta, torch.addcmul(gathered_vectors, p3, o1.unsqueeze(1))

    def _by_kind(self, rows: Tensor) -> Tensor:
        """(heads · 3 · d, ...) → (3 · heads · d, ...)."""
        return rows.unflatten(0, (self.num_heads, 3, -1)).transpose(0, 1).flatten(0, 2)
