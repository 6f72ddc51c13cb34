"""Attention whose messages carry features of any degree along the edges."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import scatter

from molspectra.encoders.irreps_transformer.degrees import split_degrees
from molspectra.encoders.irreps_transformer.softmax import damped_softmax
from molspectra.encoders.irreps_transformer.steerable_basis import coupling_paths
from molspectra.layers.degree_linear import DegreeLinear
from molspectra.layers.initialization import init_linears


class IrrepsAttention(nn.Module):
    """Equivariant graph attention with the depthwise tensor product of features and spherical harmonics.

    After Equiformer (Liao & Smidt 2023, arXiv:2206.11990). x are the scalars, t the features of all degrees, φ the
    radial basis, C the cutoff envelope, and B^p the maps of :class:`.SteerableBasis` for the paths p = (l1, l2, l3):

        e_ij = SiLU(W_t x_i + W_s x_j + W_r φ_ij)                     invariants of an edge
        α_ij = C(r_ij) exp(W_a e_ij) / Σ_k C(r_ik) exp(W_a e_ik)      attention, per head
        k_ij = W_k e_ij,   f_ij = W_f e_ij                            filters of paths, and of channels
        T_i = Σ_j α_ij f_ij ⊙ (Σ_p k^p_ij B^p_ij) (W_v t)_j
        Δt_i = W_o T_i

    The filter of path p and channel c is the product k^p_g f_c, where g is one of a few groups of channels. The
    matrices of all paths are thus added up once per group, before they multiply the features, and the cost grows with
    the number of components instead of the number of paths. Equiformer has an independent filter for every path and
    channel. Attention vanishes smoothly at the cutoff. The denominator is never 0, as the atom itself is among its
    neighbors, with C = 1.

    Args:
        hidden_channels: Number F of channels of each degree.
        num_heads: Number of heads. It divides F.
        num_rbf: Number of radial basis functions.
        l_max: Highest degree.
        num_filters: Number of filters of each path. It divides F.
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
        nn.init.ones_(self.channel_proj.bias)  # paths alone filter at first
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
        """Return the change of the features (N, (l_max + 1)², F). Edges include self-loops."""
        source, target = edge_index
        num_atoms, scalars = features.shape[0], features[:, 0]
        # Attention and filters depend on scalars and distances alone, and are thus invariant under rotation.
        at_ends = self.target_proj(scalars).index_select(0, target) + self.source_proj(scalars).index_select(0, source)
        edge = F.silu(at_ends + self.radial_proj(rbf))
        logits = self.attention_proj(edge)
        path_filter = self.path_proj(edge).unflatten(-1, (self.num_filters, -1))
        channel_filter = self.channel_proj(edge).unflatten(-1, (self.num_heads, -1))
        value = torch.cat(self.value_proj(split_degrees(features, self.l_max)), dim=1)
        value = value.unflatten(-1, (self.num_filters, -1)).transpose(1, 2)

        # Autocast runs the projections in half precision. Tensors that rotate with the molecule keep the precision of
        # the positions, as equivariance is as exact as these products.
        with torch.autocast(features.device.type, enabled=False):
            dtype = rbf.dtype
            attention = damped_softmax(logits.to(dtype), envelope, target, num_atoms)
            channel_filter = (channel_filter.to(dtype) * attention.unsqueeze(-1)).flatten(1)
            # Flat rows are gathered several times faster on the CPU, forward and backward.
            at_source = value.flatten(1).to(dtype).index_select(0, source).unflatten(1, value.shape[1:])
            message = self._add_up_paths(path_filter.to(dtype), basis) @ at_source
            message = message * channel_filter.unflatten(1, (self.num_filters, 1, -1))
            gathered = scatter(message.flatten(1), target, dim=0, dim_size=num_atoms, reduce="sum")
        gathered = gathered.unflatten(1, value.shape[1:]).transpose(1, 2).flatten(2)
        return torch.cat(self.out_proj(split_degrees(gathered, self.l_max)), dim=1)

    def _add_up_paths(self, weight: Tensor, basis: Sequence[Tensor]) -> Tensor:
        """Sum the basis with filters (E, G, all paths) to matrices (E, G, (l_max + 1)², (l_max + 1)²)."""
        rows = [part @ matrices for part, matrices in zip(weight.split(self.paths, dim=-1), basis, strict=True)]
        components = len(self.paths) ** 2
        return torch.cat(rows, dim=-1).unflatten(-1, (components, components))
