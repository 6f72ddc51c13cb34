"""Layer of the E(n)-equivariant graph network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import scatter

from molspectra.encoders.egnn.neighborhood import Neighborhood
from molspectra.layers.initialization import init_linears
from molspectra.layers.layer_norm import LayerNorm
from molspectra.layers.plain_linear import is_plain_linear


class EGNNLayer(nn.Module):
    """Message passing that updates scalars and, if asked, positions. :class:`.EGNN` states the equations.

    Args:
        channels: Width F of the scalars.
        num_edge_types: Number of edge types. 0 for none.
        attention: Weight each message by a number in (0, 1) that is computed from it.
        layer_norm: Normalize the messages, and the scalars that the networks read.
        moves: True if the layer has the network that moves atoms.
        as_released: Normalize messages after the attention instead of before it, and start the networks on the edges
            from PyTorch's initial weights instead of Xavier's.
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
        self.num_edge_types = num_edge_types
        self.edge_in = nn.Linear(2 * channels + 1 + num_edge_types, channels)
        self.edge_mlp = nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.node_mlp = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.attention = nn.Sequential(nn.Linear(channels, 1), nn.Sigmoid()) if attention else None
        self.norm = LayerNorm(channels) if layer_norm else nn.Identity()
        self.message_norm = LayerNorm(channels) if layer_norm else nn.Identity()
        last = nn.Linear(channels, 1, bias=False)
        self.coord_mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), last) if moves else None
        if not as_released:
            # Messages, and the vectors made of them, are five times as large at first. `node_mlp` keeps PyTorch's
            # weights: it reads the sum over neighbors, and a larger gain there would multiply from layer to layer.
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
        """Pass messages once.

        Args:
            scalars: h, (N, F).
            radial: Function of the edge length that messages read, (E, 1).
            neighborhood: Edges.
            edge_vec: x_j - x_i in Å, (E, 3), if atoms are to move.

        Returns:
            The change of h (N, F), the messages m (E, F), and the change of x in Å (N, 3), or None without `edge_vec`.

        Raises:
            ValueError: Atoms are to move, but the layer has no network for it.
        """
        normed = self.norm(scalars)
        messages = self.edge_mlp(self._edge_features(normed, radial, neighborhood))
        # Autocast runs the networks in half precision. Sums over neighbors and layers keep that of the scalars.
        messages = messages.to(scalars.dtype)
        if not self.as_released:
            messages = self.message_norm(messages)
        if self.attention is not None:
            messages = messages * self.attention(messages)
        if self.as_released:
            # A norm takes out any factor, and with it the attention.
            messages = self.message_norm(messages)
        messages = messages * neighborhood.envelope
        gathered = scatter(messages, neighborhood.edge_index[1], dim=0, dim_size=scalars.shape[0], reduce="sum")
        delta = self.node_mlp(torch.cat([normed, neighborhood.scale * gathered], dim=-1))
        displacement = None if edge_vec is None else self._displacement(edge_vec, messages, neighborhood, len(scalars))
        return delta.to(scalars.dtype), messages, displacement

    def _displacement(self, edge_vec: Tensor, messages: Tensor, neighborhood: Neighborhood, num_atoms: int) -> Tensor:
        """Compute Σ_j w_ij φ(m_ij) (x_i - x_j), a sum of edge vectors with invariant weights and thus equivariant."""
        if self.coord_mlp is None:
            raise ValueError("edge_vec is for layers that move atoms; build this one with moves=True, or pass None.")
        push = -edge_vec * (neighborhood.weight * self.coord_mlp(messages).to(edge_vec.dtype))
        return scatter(push, neighborhood.edge_index[1], dim=0, dim_size=num_atoms, reduce="sum")

    def _edge_features(self, scalars: Tensor, radial: Tensor, neighborhood: Neighborhood) -> Tensor:
        """Compute `edge_in` of [h_i ‖ h_j ‖ radial ‖ one-hot type], if possible without putting these together."""
        if not is_plain_linear(self.edge_in):
            return self.edge_in(self._edge_inputs(scalars, radial, neighborhood))
        source, target = neighborhood.edge_index
        channels = scalars.shape[1]
        sizes = [channels, channels, 1, self.num_edge_types]
        weight_target, weight_source, weight_radial, weight_type = self.edge_in.weight.split(sizes, dim=1)
        # Rows of atoms are multiplied before they are copied to the edges, which outnumber them by far.
        at_target = F.linear(scalars, weight_target, self.edge_in.bias).index_select(0, target)
        at_source = F.linear(scalars, weight_source).index_select(0, source)
        features = at_target + at_source + radial * weight_radial.squeeze(1)
        if neighborhood.edge_type is not None:
            # A product with a one-hot vector picks a column.
            features = features + weight_type.t().index_select(0, neighborhood.edge_type)
        return features

    def _edge_inputs(self, scalars: Tensor, radial: Tensor, neighborhood: Neighborhood) -> Tensor:
        """Put [h_i ‖ h_j ‖ radial ‖ one-hot type] together, (E, 2F + 1 + types)."""
        source, target = neighborhood.edge_index
        inputs = [scalars.index_select(0, target), scalars.index_select(0, source), radial]
        if neighborhood.edge_type is not None:
            inputs.append(F.one_hot(neighborhood.edge_type, self.num_edge_types).to(scalars.dtype))
        return torch.cat(inputs, dim=1)
