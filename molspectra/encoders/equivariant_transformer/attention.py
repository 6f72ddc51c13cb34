"""Attention layer of the equivariant transformer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra.encoders.equivariant_transformer.inputs import Neighborhood
from molspectra.encoders.equivariant_transformer.messages import pair_messages
from molspectra.layers.initialization import init_linears
from molspectra.layers.layer_norm import LayerNorm
from molspectra.layers.plain_linear import is_plain_linear


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
        self.norm = LayerNorm(hidden_channels)
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
        v0, v1, v2 = self._by_kind(self.v_proj(normed))
        filter_weight, filter_bias, neighborhood = self._filters(neighborhood)
        gathered, gathered_vectors = pair_messages(
            self.q_proj(normed),
            torch.cat([self.k_proj(normed), v0, v2], dim=-1),
            vectors * v1.unsqueeze(1),
            filter_weight,
            filter_bias,
            neighborhood,
            self.num_heads,
            damp_attention=self.as_released,
        )
        o1, o2, o3 = self.o_proj(gathered).chunk(3, dim=-1)
        p1, p2, p3 = self.vec_proj(vectors).chunk(3, dim=-1)
        # Vectors enter the scalars by a scalar product, which is invariant under rotation.
        delta = (p1 * p2).sum(dim=1) * o2 + o3
        return delta, torch.addcmul(gathered_vectors, p3, o1.unsqueeze(1))

    def _filters(self, neighborhood: Neighborhood) -> tuple[Tensor, Tensor, Neighborhood]:
        """Return weight and bias of all radial filters, or no rows and a neighborhood with W φ + b in place of φ."""
        key, value = self.dk_proj, self.dv_proj
        if is_plain_linear(key) and is_plain_linear(value):
            # The messages apply the weights in blocks that fit into the cache, and again in the backward, so that no
            # tensor of (pairs × 4F) is stored.
            weight = self._key_and_values(key.weight.mT, value.weight.mT).mT
            return weight, self._key_and_values(key.bias, value.bias), neighborhood
        basis = torch.cat([neighborhood.basis, neighborhood.self_basis])
        filters = self._key_and_values(key(basis), value(basis))
        return basis[:0], basis[:0, 0], neighborhood._replace(basis=filters[:-1], self_basis=filters[-1:])

    def _key_and_values(self, key: Tensor, value: Tensor) -> Tensor:
        """Put filters of keys (…, F) and values (…, 3F) side by side: k, s⁰, s² and s¹, (…, 4F)."""
        s0, s1, s2 = self._by_kind(value)
        return torch.cat([key, s0, s2, s1], dim=-1)

    def _by_kind(self, values: Tensor) -> tuple[Tensor, ...]:
        """Divide values (…, 3F), which are stored head by head, into s⁰, s¹ and s² of all heads, (…, F) each."""
        return values.unflatten(-1, (self.num_heads, 3, -1)).transpose(-3, -2).flatten(-2).unbind(-2)
