"""Attention whose messages carry features of any degree along the edges."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import scatter

from molspectra.encoders.irreps_transformer.coupling import coupling_paths
from molspectra.encoders.irreps_transformer.pointwise import split_degrees
from molspectra.layers.degree_linear import DegreeLinear
from molspectra.layers.initialization import init_linears


class IrrepsAttention(nn.Module):
    """Equivariant graph attention with the depthwise tensor product of features and spherical harmonics.

    After Equiformer (Liao & Smidt 2023, arXiv:2206.11990). With scalars x, all features t, the radial basis φ, the
    cutoff C, and the maps B^p of :class:`.SteerableBasis`, p a path (l1, l2, l3):

        e_ij = SiLU(W_t x_i + W_s x_j + W_r φ_ij)                     what both ends and their distance say
        α_ij = C(r_ij) exp(W_a e_ij) / Σ_k C(r_ik) exp(W_a e_ik)      attention, per head
        k_ij = W_k e_ij,   f_ij = W_f e_ij                            filters of paths, and of channels
        T_i = Σ_j α_ij f_ij ⊙ (Σ_p k^p_ij B^p_ij) (W_v t)_j
        Δt_i = W_o T_i

    The filter of path p and channel c is thus k^p_g f_c with g one of a few groups of channels, so that the matrices of
    all paths are added up once a group, before they meet the features: the cost grows with the number of components,
    not with that of the paths. (Equiformer has a filter of its own for every path and channel.) Attention vanishes
    smoothly at the cutoff; with the atom itself among its neighbours, C = 1, the denominator is never 0.

    Args:
        hidden_channels: Number F of channels of each degree.
        num_heads: Number of heads; divides F.
        num_rbf: Number of radial basis functions.
        l_max: The highest degree.
        num_filters: Number of filters of each path; divides F.
    """

    def __init__(self, hidden_channels: int, num_heads: int, num_rbf: int, l_max: int, num_filters: int = 4) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_filters = num_filters
        self.l_max = l_max
        self.paths = [len(coupling_paths(l_max, degree)) for degree in range(l_max + 1)]
        self.target_proj = nn.Linear(hidden_channels, hidden_channels, bias=False)
        self.source_proj = nn.Linear(hidden_channels, hidden_channels, bias=False)
        self.radial_proj = nn.Linear(num_rbf, hidden_channels)
        self.attention_proj = nn.Linear(hidden_channels, num_heads, bias=False)  # a bias would cancel in the softmax
        self.path_proj = nn.Linear(hidden_channels, num_filters * sum(self.paths))
        self.channel_proj = nn.Linear(hidden_channels, hidden_channels)
        init_linears(self)
        nn.init.ones_(self.channel_proj.bias)
        self.value_proj = DegreeLinear(hidden_channels, hidden_channels, l_max)
        self.out_proj = DegreeLinear(hidden_channels, hidden_channels, l_max)

    def forward(
        self,
        features: Float[Tensor, "atoms components channels"],
        edge_index: Int[Tensor, "2 edges"],
        rbf: Float[Tensor, "edges num_rbf"],
        envelope: Float[Tensor, "edges 1"],
        basis: Sequence[Float[Tensor, "edges _ _"]],
    ) -> Float[Tensor, "atoms components channels"]:
        """The change of the features (N, (l_max + 1)², F), from edges with self-loops."""
        source, target = edge_index
        num_atoms, scalars = features.shape[0], features[:, 0]
        at_ends = self.target_proj(scalars).index_select(0, target) + self.source_proj(scalars).index_select(0, source)
        edge = F.silu(at_ends + self.radial_proj(rbf))
        logits = self.attention_proj(edge)
        path_filter = self.path_proj(edge).unflatten(-1, (self.num_filters, -1))
        channel_filter = self.channel_proj(edge).unflatten(-1, (self.num_heads, -1))
        value = torch.cat(self.value_proj(split_degrees(features, self.l_max)), dim=1)
        value = value.unflatten(-1, (self.num_filters, -1)).transpose(1, 2)

        # Under autocast the projections run in half precision; what turns with the molecule is contracted in full.
        with torch.autocast(features.device.type, enabled=False):
            dtype = rbf.dtype
            attention = damped_softmax(logits.to(dtype), envelope, target, num_atoms)
            channel_filter = (channel_filter.to(dtype) * attention.unsqueeze(-1)).flatten(1)
            # Rows are flat where they are gathered: several times as fast on the CPU, forward and backward.
            at_source = value.flatten(1).to(dtype).index_select(0, source).unflatten(1, value.shape[1:])
            message = self._add_up_paths(path_filter.to(dtype), basis) @ at_source
            message = message * channel_filter.unflatten(1, (self.num_filters, 1, -1))
            gathered = scatter(message.flatten(1), target, dim=0, dim_size=num_atoms, reduce="sum")
        gathered = gathered.unflatten(1, value.shape[1:]).transpose(1, 2).flatten(2)
        return torch.cat(self.out_proj(split_degrees(gathered, self.l_max)), dim=1)

    def _add_up_paths(self, weight: Tensor, basis: Sequence[Tensor]) -> Tensor:
        """Filters (E, G, all paths) and the basis → matrices (E, G, (l_max + 1)², (l_max + 1)²)."""
        rows = [part @ matrices for part, matrices in zip(weight.split(self.paths, dim=-1), basis, strict=True)]
        components = len(self.paths) ** 2
        return torch.cat(rows, dim=-1).unflatten(-1, (components, components))


def damped_softmax(
    logits: Float[Tensor, "edges heads"],
    envelope: Float[Tensor, "edges 1"],
    target: Int[Tensor, " edges"],
    num_atoms: int,
) -> Float[Tensor, "edges heads"]:
    """C e^a / Σ C e^a over the edges that lead to the same atom.

    Args:
        logits: a, (E, H).
        envelope: C in [0, 1], (E, 1); 1 on one edge to each atom at least.
        target: The atom each edge leads to, (E,).
        num_atoms: Number of atoms.

    Returns:
        (E, H), of sum 1 over the edges to each atom.
    """
    # Any shift cancels. This one makes the largest term 1, so that no denominator vanishes: the largest logit might
    # belong to an edge at the cutoff, beside which the others underflow. An edge with C = 0 has no part in the shift,
    # and must not overflow for it; on all others C exceeds the rounding of 1, and logits the shift by less than 40.
    with torch.no_grad():
        shift = scatter(logits + envelope.log(), target, dim=0, dim_size=num_atoms, reduce="max")
    weight = envelope * torch.exp((logits - shift.index_select(0, target)).clamp(max=60))
    return weight / scatter(weight, target, dim=0, dim_size=num_atoms, reduce="sum").index_select(0, target)
