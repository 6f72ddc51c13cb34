"""Attention layer of the equivariant transformer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra.encoders.equivariant_transformer.inputs import Neighborhood
from molspectra.encoders.equivariant_transformer.messages import pair_messages
from molspectra.layers.initialization import init_linears


class EquivariantAttention(nn.Module):
    """Attention over neighbors, which updates scalars and vectors. :class:`.EquivariantTransformer` has the equations.

    Queries, keys, values and radial filters are stored head by head. The 3d values (and filters) of a head are its s⁰,
    s¹ and s² in turn.

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_heads: Number of heads.
        num_rbf: Number of radial basis functions.
        as_released: Damp the attention only, and not the vector message.
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
        # A bias would be the same vector in every orientation of the molecule, and break equivariance.
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
        """Return the changes of scalars (N, F) and vectors (N, 3, F)."""
        normed = self.norm(scalars)
        # The weights store s⁰, s¹ and s² head by head. The messages need each kind for all heads together, s¹ last.
        # Rearranging the weights is cheaper than rearranging the features of all atoms.
        (w0, w1, w2), (b0, b1, b2) = self._by_kind(self.v_proj)
        (f0, f1, f2), (c0, c1, c2) = self._by_kind(self.dv_proj)
        key_value = F.linear(normed, torch.cat([self.k_proj.weight, w0, w2]), torch.cat([self.k_proj.bias, b0, b2]))
        gathered, gathered_vectors = pair_messages(
            self.q_proj(normed),
            key_value,
            vectors * F.linear(normed, w1, b1).unsqueeze(1),
            torch.cat([self.dk_proj.weight, f0, f2, f1]),
            torch.cat([self.dk_proj.bias, c0, c2, c1]),
            neighborhood,
            self.num_heads,
            damp_attention=self.as_released,
        )
        o1, o2, o3 = self.o_proj(gathered).chunk(3, dim=-1)
        p1, p2, p3 = self.vec_proj(vectors).chunk(3, dim=-1)
        # Vectors enter the scalars by a scalar product, which is invariant under rotation.
        delta = (p1 * p2).sum(dim=1) * o2 + o3
        return delta, torch.addcmul(gathered_vectors, p3, o1.unsqueeze(1))

    def _by_kind(self, projection: nn.Linear) -> list[tuple[Tensor, ...]]:
        """Return the weights of a projection to 3F values, and its biases, each divided into s⁰, s¹ and s²."""
        parameters = (projection.weight, projection.bias)
        return [
            rows.unflatten(0, (self.num_heads, 3, -1)).transpose(0, 1).flatten(1, 2).unbind() for rows in parameters
        ]
