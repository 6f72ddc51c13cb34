"""Equivariant transformer with features of any degree, in e3nn's terms."""

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from molspectra._validation import check_heads, check_sizes
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.encoders.irreps_transformer.degrees import split_degrees
from molspectra.encoders.irreps_transformer.layer import IrrepsTransformerLayer
from molspectra.encoders.irreps_transformer.neighbor_density import NeighborDensity
from molspectra.encoders.irreps_transformer.norm import IrrepsNorm
from molspectra.encoders.irreps_transformer.spherical_harmonics import SphericalHarmonics
from molspectra.encoders.irreps_transformer.steerable_basis import SteerableBasis
from molspectra.features import AtomFeatures
from molspectra.layers.radial import ExpNormalBasis


class IrrepsTransformer(BaseEncoder):
    """Equivariant graph attention over features of degrees 0 … l_max, after Equiformer (arXiv:2206.11990).

    Every degree l has the same F channels of 2l + 1 components and parity (-1)^l: e3nn's F×0e + F×1o + F×2e + …
    The initial features of an atom are its element and the density of its neighbors,

        t_i,lm = δ_l0 E(z_i) + Σ_j C(r_ij) R_l(r_ij) ⊙ E'(z_j) Y_lm(u_ij).

    Each layer adds attention (:class:`.IrrepsAttention`) and a feed-forward block (:class:`.IrrepsFeedForward`), each
    on normalized features.

    The encoder follows the ideas of Equiformer (Liao & Smidt 2023) and is no copy of it. All degrees have the same
    width, no dropout is used, the filters of the tensor product factorize, and attention is damped to 0 at the cutoff.

    The settings that Equiformer was published with for QM9 are
    `IrrepsTransformer(128, num_layers=6, num_heads=4, l_max=2, num_rbf=128)`. Its degrees 0, 1 and 2 have 128, 64 and
    32 channels, of which each head sees 32, 16 and 8. With l_max = 3, as for MD17, it has 128, 64, 64 and 32 channels
    and 32 radial functions.

    Args:
        hidden_channels: Number F of channels of each degree.
        num_layers: Number of layers.
        num_heads: Number of attention heads. It divides `hidden_channels`.
        l_max: Highest degree, 1 to 4.
        num_rbf: Number of radial basis functions.
        cutoff: r_c in Å.
        max_z: Largest atomic number in the embedding tables.
        num_filters: Number of filters of each path of the tensor product. Each serves `hidden_channels` / `num_filters`
            channels. It divides `hidden_channels`.

    Raises:
        ValueError: A size is out of its range, or the sizes do not fit each other.

    Example:
        >>> encoder = IrrepsTransformer(hidden_channels=32, num_layers=2, l_max=2)
        >>> atoms = encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        >>> atoms.irreps, atoms.tensors[0].shape
        (32x0e+32x1o+32x2e, torch.Size([3, 5, 32]))
    """

    takes_vector_context = True

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
        # Row z of a table is element z. Row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.neighbor_density = NeighborDensity(hidden_channels, num_rbf, l_max, max_z)
        self.layers = nn.ModuleList(
            IrrepsTransformerLayer(hidden_channels, num_heads, num_rbf, l_max, num_filters) for _ in range(num_layers)
        )
        self.out_norm = IrrepsNorm(hidden_channels, l_max, eps=0.1)

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute scalars (N, F), vectors (N, 3, F) and tensors (N, 2l + 1, F) of degrees 2 … l_max."""
        # Each atom is its own neighbor, so that attention has something to attend to in a lone atom.
        edges = self.edges(molecules, loop=True)
        with record_function("molspectra::irreps_transformer.basis"):
            # Computed once per step: the envelope is also a factor of the radial basis.
            damping = self.radial_basis.envelope(edges.distance)
            rbf, envelope = self.radial_basis(edges.distance, damping), damping.unsqueeze(-1)
            harmonics = self.spherical_harmonics(edges.direction)
            basis = self.steerable_basis(harmonics)
        scalars = molecules.add_context(self.embedding(molecules.z))
        with record_function("molspectra::irreps_transformer.neighbor_density"):
            features = self.neighbor_density(molecules.z, edges.index, rbf, envelope, harmonics)
            # The element is a scalar: it enters degree 0, and the other components stay as they are.
            features = features + nn.functional.pad(scalars.unsqueeze(1), (0, 0, 0, features.shape[1] - 1))
            molecules.check_degrees(self.l_max)
            if molecules.vector_context is not None and molecules.vector_context.l_max > 0:
                features = features + self._directed(molecules.vector_context, features)
        for layer in self.layers:
            with record_function("molspectra::irreps_transformer.layer"):
                features = layer(features, edges.index, rbf, envelope, basis)
            self.hook_point(features[:, 0])
        scalars, vectors, *tensors = split_degrees(self.out_norm(features), self.l_max)
        return AtomFeatures(scalars.squeeze(1), vectors, tuple(tensors))

    def _directed(self, context: AtomFeatures, features: Tensor) -> Tensor:
        """Return the degrees 1, 2, … of a context in the layout of the features, 0 elsewhere."""
        degrees = [context.degree(degree) for degree in range(1, context.l_max + 1)]
        directed = torch.cat(degrees, dim=1).to(features.dtype)
        return nn.functional.pad(directed, (0, 0, 1, features.shape[1] - 1 - directed.shape[1]))
