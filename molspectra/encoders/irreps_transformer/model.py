"""An equivariant transformer with features of any degree, in e3nn's terms."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.utils import scatter

from molspectra._validation import check_heads, check_sizes
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.encoders.irreps_transformer.attention import IrrepsAttention
from molspectra.encoders.irreps_transformer.coupling import SphericalHarmonics, SteerableBasis
from molspectra.encoders.irreps_transformer.pointwise import IrrepsFeedForward, IrrepsNorm, split_degrees
from molspectra.features import AtomFeatures
from molspectra.layers.initialization import init_linears
from molspectra.layers.radial import ExpNormalBasis


class IrrepsTransformer(BaseEncoder):
    """Equivariant graph attention over features of degrees 0 … l_max, after Equiformer (arXiv:2206.11990).

    Every degree l has the same F channels of 2l + 1 components and parity (-1)^l: e3nn's F×0e + F×1o + F×2e + …
    An atom begins as its element and the density of its neighbours,

        t_i,lm = δ_l0 E(z_i) + Σ_j C(r_ij) R_l(r_ij) ⊙ E'(z_j) Y_lm(u_ij),

    and each layer adds attention (:class:`.IrrepsAttention`) and a feed-forward
    block (:class:`.IrrepsFeedForward`), each on normalised features.

    Built in the spirit of Equiformer (Liao & Smidt 2023), not a copy of it: all degrees have the same width, there is
    no dropout, the filters of the tensor product factorise, and the attention is damped to 0 at the cutoff.

    Args:
        hidden_channels: Number F of channels of each degree.
        num_layers: Number of layers.
        num_heads: Attention heads; divides `hidden_channels`.
        l_max: The highest degree, 1 to 4.
        num_rbf: Number of radial basis functions.
        cutoff: r_c in Å.
        max_z: Largest atomic number in the embedding tables.
        num_filters: Number of filters of each path of the tensor product, shared by `hidden_channels` / `num_filters`
            channels; divides `hidden_channels`.

    Raises:
        ValueError: the sizes are out of range or do not fit each other.

    Example:
        >>> encoder = IrrepsTransformer(hidden_channels=32, num_layers=2, l_max=2)
        >>> atoms = encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        >>> atoms.irreps, atoms.tensors[0].shape
        (32x0e+32x1o+32x2e, torch.Size([3, 5, 32]))
    """

    def __init__(
        self,
        hidden_channels: int = 128,
        num_layers: int = 4,
        num_heads: int = 8,
        l_max: int = 2,
        num_rbf: int = 32,
        cutoff: float = 5.0,
        max_z: int = 100,
        *,
        num_filters: int = 4,
    ) -> None:
        super().__init__(hidden_channels, cutoff, max_z)
        check_sizes(num_layers=num_layers, num_heads=num_heads, num_filters=num_filters)
        check_heads(hidden_channels, num_heads)
        if hidden_channels % num_filters:
            raise ValueError(
                f"hidden_channels must be a multiple of num_filters; got {hidden_channels} and {num_filters}."
            )
        if not 1 <= l_max <= 4:
            raise ValueError(f"l_max must lie in 1..4; got {l_max}.")
        self.l_max = l_max
        self.radial_basis = ExpNormalBasis(num_rbf, cutoff)
        self.spherical_harmonics = SphericalHarmonics(l_max)
        self.steerable_basis = SteerableBasis(l_max)
        # Row z of a table is element z; row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.neighbor_density = NeighborDensity(hidden_channels, num_rbf, l_max, max_z)
        self.layers = nn.ModuleList(
            IrrepsTransformerLayer(hidden_channels, num_heads, num_rbf, l_max, num_filters) for _ in range(num_layers)
        )
        self.out_norm = IrrepsNorm(hidden_channels, l_max, eps=0.1)

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute scalars (N, F), vectors (N, 3, F) and tensors (N, 2l + 1, F) of degrees 2 … l_max."""
        edges = self.edges(molecules, loop=True)
        damping = self.radial_basis.envelope(edges.distance)
        rbf, envelope = self.radial_basis(edges.distance, damping), damping.unsqueeze(-1)
        harmonics = self.spherical_harmonics(edges.direction)
        basis = self.steerable_basis(harmonics)

        scalars = molecules.add_context(self.embedding(molecules.z))
        features = self.neighbor_density(molecules.z, edges.index, rbf, envelope, harmonics)
        features = features + nn.functional.pad(scalars.unsqueeze(1), (0, 0, 0, features.shape[1] - 1))
        for layer in self.layers:
            features = layer(features, edges.index, rbf, envelope, basis)
            self.hook_point(features[:, 0])
        scalars, vectors, *tensors = split_degrees(self.out_norm(features), self.l_max)
        return AtomFeatures(scalars.squeeze(1), vectors, tuple(tensors))


class NeighborDensity(nn.Module):
    """Σ_{j≠i} C(r_ij) R_l(r_ij) ⊙ E'(z_j) Y_lm(u_ij), R_l being linear in the radial basis: features of all degrees."""

    def __init__(self, hidden_channels: int, num_rbf: int, l_max: int, max_z: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.distance_proj = nn.Linear(num_rbf, (l_max + 1) * hidden_channels)
        init_linears(self)

    def forward(
        self, z: Tensor, edge_index: Tensor, rbf: Tensor, envelope: Tensor, harmonics: Tensor
    ) -> Float[Tensor, "atoms components channels"]:
        """Elements (N,), edges, radial basis (E, K), cutoff (E, 1) and harmonics (E, (l_max + 1)²) → features."""
        source, target = edge_index
        others = (source != target).unsqueeze(-1)
        elements = self.embedding(z).index_select(0, source) * (envelope * others)
        radial = (self.distance_proj(rbf).unflatten(-1, (self.l_max + 1, -1)) * elements.unsqueeze(1)).split(1, dim=1)
        angular = split_degrees(harmonics.unsqueeze(-1), self.l_max)
        messages = torch.cat([y * r for y, r in zip(angular, radial, strict=True)], dim=1)
        return scatter(messages, target, dim=0, dim_size=z.shape[0], reduce="sum")


class IrrepsTransformerLayer(nn.Module):
    """t += Attention(Norm(t)), then t += FeedForward(Norm(t))."""

    def __init__(self, hidden_channels: int, num_heads: int, num_rbf: int, l_max: int, num_filters: int) -> None:
        super().__init__()
        # ε = 1 bounds the gain of the norms between layers by 1: what should vanish by symmetry is rounding noise, and
        # the gains of all layers multiply.
        self.attention_norm = IrrepsNorm(hidden_channels, l_max, eps=1.0)
        self.attention = IrrepsAttention(hidden_channels, num_heads, num_rbf, l_max, num_filters)
        self.feed_forward_norm = IrrepsNorm(hidden_channels, l_max, eps=1.0)
        self.feed_forward = IrrepsFeedForward(hidden_channels, l_max)

    def forward(
        self, features: Tensor, edge_index: Tensor, rbf: Tensor, envelope: Tensor, basis: tuple[Tensor, ...]
    ) -> Float[Tensor, "atoms components channels"]:
        """Features (N, (l_max + 1)², F), edges with self-loops, and what is known of them → features."""
        features = features + self.attention(self.attention_norm(features), edge_index, rbf, envelope, basis)
        return features + self.feed_forward(self.feed_forward_norm(features))
