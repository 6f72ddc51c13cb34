"""The equivariant transformer of TorchMD-Net, the 3D encoder of Coord, Frad, SliDe and MolSpectra."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from molspectra._validation import check_heads
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.encoders.equivariant_transformer.attention import EquivariantAttention
from molspectra.encoders.equivariant_transformer.blocks import Neighborhood
from molspectra.encoders.equivariant_transformer.norms import RMSVectorNorm, WhitenedVectorNorm
from molspectra.features import AtomFeatures
from molspectra.geometry.neighbors import edge_geometry, half_neighbor_list
from molspectra.layers.initialization import init_linears
from molspectra.layers.radial import ExpNormalBasis


class EquivariantTransformer(BaseEncoder):
    """Equivariant transformer (Thölke & De Fabritiis 2022, arXiv:2202.02541), pre-trained by Coord and MolSpectra.

    Atoms carry scalars x (F) and vectors v (3 × F). In each layer an atom i attends to the atoms j within the cutoff
    r_c, itself included; with C the cosine cutoff, φ the radial basis, u_ij the unit vector from i to j:

        a_ij = SiLU(Σ_d q_i k_j SiLU(W_dk φ_ij)) C(r_ij)              attention, per head
        (s⁰, s¹, s²) = v_j ⊙ SiLU(W_dv φ_ij)                          values
        X_i = Σ_j a_ij s⁰,   V_i = Σ_j C(r_ij) (vec_j ⊙ s¹ + s² ⊗ u_ij)
        (o¹, o², o³) = W_o X_i,   (p¹, p², p³) = W_vec vec_i
        x_i += ⟨p¹, p²⟩ ⊙ o² + o³,   vec_i += p³ ⊙ o¹ + V_i

    Differences from the released code, all undone by `as_released=True`:

    * the vector message is damped by C; the released one is not, so that features jump when a pair crosses the cutoff
      (by up to 0.25 in the vectors);
    * `vector_norm` is exactly equivariant (see :class:`.WhitenedVectorNorm`);

    and in both modes: no neighbour is dropped (the release keeps 32, a set that depends on the device), and coincident
    atoms give a zero direction instead of NaN.

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_layers: Number of attention layers.
        num_heads: Attention heads; divides `hidden_channels`.
        num_rbf: Number of radial basis functions.
        cutoff: r_c in Å.
        max_z: Largest atomic number in the embedding tables.
        vector_norm: Norm of the vectors: "rms" (one scale an atom; smooth), "whitened" (decorrelated as well; Coord's)
            or None.
        norm_every_layer: Normalise scalars and vectors after every layer as well as at the end (the released
            MolSpectra encoder for QM9S does).
        as_released: Reproduce the released arithmetic; needs `vector_norm` "whitened" or None.
        checkpoint: Keep only what goes into each layer, and run the layer again in the backward: a forward more, for
            less memory (activation checkpointing, Chen et al. 2016, arXiv:1604.06174).

    Raises:
        ValueError: the sizes do not fit each other.

    Example:
        >>> encoder = EquivariantTransformer(hidden_channels=32, num_layers=2, num_heads=4)
        >>> atoms = encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        >>> atoms.scalars.shape, atoms.vectors.shape
        (torch.Size([3, 32]), torch.Size([3, 3, 32]))
    """

    def __init__(
        self,
        hidden_channels: int = 256,
        num_layers: int = 8,
        num_heads: int = 8,
        num_rbf: int = 64,
        cutoff: float = 5.0,
        max_z: int = 100,
        *,
        vector_norm: Literal["rms", "whitened"] | None = "rms",
        norm_every_layer: bool = False,
        as_released: bool = False,
        checkpoint: bool = False,
    ) -> None:
        super().__init__(hidden_channels, cutoff, max_z)
        check_heads(hidden_channels, num_heads)
        if vector_norm not in ("rms", "whitened", None):
            raise ValueError(f'vector_norm must be "rms", "whitened" or None; got {vector_norm!r}.')
        if as_released and vector_norm == "rms":
            raise ValueError('The released encoder has no "rms" norm; pass vector_norm="whitened" or None.')

        def make_vector_norm(last: bool) -> nn.Module:
            # Norms between layers must not amplify (ε = 1 bounds their gain by 1): on an atom at a centre of symmetry
            # vectors are rounding noise, and the gains of all layers multiply.
            eps = None if last or as_released else 1.0
            if vector_norm == "rms":
                return RMSVectorNorm(hidden_channels, eps)
            if vector_norm == "whitened":
                return WhitenedVectorNorm(hidden_channels, eps, as_released=as_released)
            return nn.Identity()

        self.checkpoint = checkpoint
        self.radial_basis = ExpNormalBasis(num_rbf, cutoff)
        # Row z of a table is element z; row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.neighbor_embedding = NeighborEmbedding(hidden_channels, num_rbf, max_z)
        self.layers = nn.ModuleList(
            EquivariantAttention(hidden_channels, num_heads, num_rbf, as_released=as_released)
            for _ in range(num_layers)
        )
        num_inner = num_layers if norm_every_layer else 0
        self.scalar_norms = nn.ModuleList(nn.LayerNorm(hidden_channels) for _ in range(num_inner))
        self.vector_norms = nn.ModuleList(make_vector_norm(last=False) for _ in range(num_inner))
        self.out_norm = nn.LayerNorm(hidden_channels)
        self.out_vector_norm = make_vector_norm(last=True)

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute scalars (N, F) and vectors (N, 3, F)."""
        pos = molecules.pos
        pairs = half_neighbor_list(pos, molecules.batch, self.cutoff)
        distance, direction = edge_geometry(pos, pairs.flip(0))
        envelope = self.radial_basis.envelope(distance)
        neighborhood = Neighborhood(
            pairs,
            direction,
            self.radial_basis(distance, envelope),
            envelope.unsqueeze(-1),
            self.radial_basis(pos.new_zeros(1)),
        )
        scalars = self.neighbor_embedding(molecules.z, self.embedding(molecules.z), neighborhood)
        # Under autocast the projections run in half precision; what they add up to stays in the weights' own.
        scalars = molecules.add_context(scalars.to(self.embedding.weight.dtype))
        vectors = scalars.new_zeros(scalars.shape[0], 3, scalars.shape[1])
        for index in range(len(self.layers)):
            if self.checkpoint:
                scalars, vectors = checkpoint(self._layer, index, scalars, vectors, neighborhood, use_reentrant=False)
            else:
                scalars, vectors = self._layer(index, scalars, vectors, neighborhood)
            scalars = self.hook_point(scalars)
        return AtomFeatures(self.out_norm(scalars), self.out_vector_norm(vectors))

    def _layer(self, index: int, scalars: Tensor, vectors: Tensor, neighborhood: Neighborhood) -> tuple[Tensor, Tensor]:
        delta_scalars, delta_vectors = self.layers[index](scalars, vectors, neighborhood)
        scalars, vectors = scalars + delta_scalars, vectors + delta_vectors
        if not self.scalar_norms:
            return scalars, vectors
        return self.scalar_norms[index](scalars), self.vector_norms[index](vectors)


class NeighborEmbedding(nn.Module):
    """x_i = W_c [E(z_i) ‖ Σ_{j≠i} E'(z_j) ⊙ (W φ_ij + b) C(r_ij)] + b_c: an atom's element and its surroundings."""

    def __init__(self, hidden_channels: int, num_rbf: int, max_z: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.distance_proj = nn.Linear(num_rbf, hidden_channels)
        self.combine = nn.Linear(2 * hidden_channels, hidden_channels)
        init_linears(self)

    def forward(
        self, z: Int[Tensor, " atoms"], embedded: Float[Tensor, "atoms channels"], neighborhood: Neighborhood
    ) -> Float[Tensor, "atoms channels"]:
        """Elements (N,), their embeddings (N, F) and neighbours → (N, F)."""
        filters = self.distance_proj(neighborhood.basis) * neighborhood.envelope
        neighbors = self.embedding(z)
        around = torch.zeros_like(embedded)
        for source, target in (neighborhood.pairs, neighborhood.pairs.flip(0)):
            messages = neighbors.index_select(0, source) * filters
            around = around.index_add(0, target, messages.to(around.dtype))
        return self.combine(torch.cat([embedded, around], dim=-1))
