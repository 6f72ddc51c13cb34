"""One layer of the E(n)-equivariant graph network."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.utils import scatter

from molspectra.layers.initialization import init_linears


class Neighborhood(NamedTuple):
    """Who hears whom, and how strongly; stays as it is while atoms move."""

    edge_index: Int[Tensor, "2 edges"]
    """Rows [source, target]."""
    envelope: Float[Tensor, "edges 1"]
    """C_ij, by which messages are damped."""
    weight: Float[Tensor, "edges 1"]
    """w_ij, by which a mean over the neighbours is taken."""
    scale: Float[Tensor, "atoms 1"]
    """s_i, by which sums over the neighbours are multiplied."""
    edge_type: Int[Tensor, " edges"] | None
    """Number of the one-hot entry of an edge, if edges have types."""


class EGNNLayer(nn.Module):
    """Messages between atoms that update their scalars and, if asked, positions; the equations stand at the encoder.

    Args:
        channels: Width F of the scalars.
        num_edge_types: Number of edge types; 0 for none.
        attention: Weigh each message by a number in (0, 1) that is computed from it.
        layer_norm: Normalise what the networks read, and the messages.
        moves: Whether the layer has the network that moves atoms.
        as_released: Normalise messages behind the attention rather than ahead of it, and start from PyTorch's own
            initial weights rather than, in the networks on the edges, from Xavier's.
    """

    def __init__(
        self,
        channels: int,
        num_edge_types: int = 0,
        *,
        attention: bool = True,
        layer_norm: bool = False,
        moves: bool = False,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        self.as_released = as_released
        self.edge_in = nn.Linear(2 * channels + 1 + num_edge_types, channels)
        self.edge_mlp = nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.node_mlp = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.attention = nn.Sequential(nn.Linear(channels, 1), nn.Sigmoid()) if attention else None
        self.norm = nn.LayerNorm(channels) if layer_norm else nn.Identity()
        self.message_norm = nn.LayerNorm(channels) if layer_norm else nn.Identity()
        last = nn.Linear(channels, 1, bias=False)
        self.coord_mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), last) if moves else None
        if not as_released:
            # Messages, and the vectors made of them, five times as large at first; in `node_mlp`, behind the sum over
            # neighbours, the like would multiply from layer to layer.
            init_linears(self.edge_in)
            init_linears(self.edge_mlp)
        nn.init.xavier_uniform_(last.weight, gain=0.001)  # atoms hardly move at first

    def forward(
        self,
        scalars: Float[Tensor, "atoms channels"],
        radial: Float[Tensor, "edges 1"],
        neighborhood: Neighborhood,
        edge_vec: Float[Tensor, "edges 3"] | None = None,
    ) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "edges channels"], Float[Tensor, "atoms 3"] | None]:
        """Exchange messages once.

        Args:
            scalars: h, (N, F).
            radial: What messages read of the length of their edge, (E, 1).
            neighborhood: The edges.
            edge_vec: x_j - x_i in Å, (E, 3), if atoms are to move.

        Returns:
            The change of h (N, F), the messages m (E, F), and the change of x in Å (N, 3), or None without `edge_vec`.

        Raises:
            ValueError: atoms are to move, but the layer has no network for it.
        """
        normed = self.norm(scalars)
        messages = self.edge_mlp(self._edge_features(normed, radial, neighborhood))
        # Under autocast the networks run in half precision; sums over neighbours and over layers do not.
        messages = messages.to(self.edge_in.weight.dtype)
        if not self.as_released:
            messages = self.message_norm(messages)
        if self.attention is not None:
            messages = messages * self.attention(messages)
        if self.as_released:
            messages = self.message_norm(messages)
        messages = messages * neighborhood.envelope
        heard = scatter(messages, neighborhood.edge_index[1], dim=0, dim_size=scalars.shape[0], reduce="sum")
        delta = self.node_mlp(torch.cat([normed, neighborhood.scale * heard], dim=-1))
        displacement = None if edge_vec is None else self._displacement(edge_vec, messages, neighborhood, len(scalars))
        return delta.to(scalars.dtype), messages, displacement

    def _displacement(self, edge_vec: Tensor, messages: Tensor, neighborhood: Neighborhood, num_atoms: int) -> Tensor:
        """Σ_j w_ij φ(m_ij) (x_i - x_j)."""
        if self.coord_mlp is None:
            raise ValueError("edge_vec is for layers that move atoms; build this one with moves=True, or pass None.")
        push = -edge_vec * (neighborhood.weight * self.coord_mlp(messages).to(edge_vec.dtype))
        return scatter(push, neighborhood.edge_index[1], dim=0, dim_size=num_atoms, reduce="sum")

    def _edge_features(self, scalars: Tensor, radial: Tensor, neighborhood: Neighborhood) -> Tensor:
        """`edge_in` of [h_i ‖ h_j ‖ radial ‖ one-hot type].

        The parts that belong to atoms are multiplied atom by atom, before they are copied to the edges, of which there
        are many more; a one-hot type picks a column.
        """
        source, target = neighborhood.edge_index
        channels = scalars.shape[1]
        num_types = self.edge_in.in_features - 2 * channels - 1
        of_target, of_source, of_radial, of_type = self.edge_in.weight.split([channels, channels, 1, num_types], dim=1)
        at_target = nn.functional.linear(scalars, of_target, self.edge_in.bias).index_select(0, target)
        at_source = nn.functional.linear(scalars, of_source).index_select(0, source)
        features = at_target + at_source + radial * of_radial.squeeze(1)
        if neighborhood.edge_type is not None:
            features = features + of_type.t().index_select(0, neighborhood.edge_type)
        return features
