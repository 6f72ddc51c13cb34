"""Equivariant transformer of TorchMD-Net, the 3D encoder of Coord, Frad, SliDe and MolSpectra."""

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.profiler import record_function
from torch.utils.checkpoint import checkpoint

from molspectra._transforms import is_transformed
from molspectra._validation import check_choice, check_heads
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.encoders.equivariant_transformer.attention import EquivariantAttention
from molspectra.encoders.equivariant_transformer.inputs import Neighborhood
from molspectra.encoders.equivariant_transformer.neighbor_embedding import NeighborEmbedding
from molspectra.features import AtomFeatures
from molspectra.geometry.neighbors import edge_geometry, half_neighbor_list
from molspectra.layers.layer_norm import LayerNorm
from molspectra.layers.radial import ExpNormalBasis
from molspectra.layers.vector_norm import make_vector_norm


class EquivariantTransformer(BaseEncoder):
    """Equivariant transformer (Thölke & De Fabritiis 2022, arXiv:2202.02541), pre-trained by Coord and MolSpectra.

    Atoms carry scalars x (F) and vectors vec (3 × F). In each layer an atom i attends to the atoms j within the cutoff
    r_c, itself included. C is the cosine cutoff, φ the radial basis and u_ij the unit vector from i to j:

        a_ij = SiLU(Σ_d q_i k_j SiLU(W_dk φ_ij)) C(r_ij)              attention, per head
        (s⁰, s¹, s²) = v_j ⊙ SiLU(W_dv φ_ij)                          values
        X_i = Σ_j a_ij s⁰,   V_i = Σ_j C(r_ij) (vec_j ⊙ s¹ + u_ij ⊗ s²)
        (o¹, o², o³) = W_o X_i,   (p¹, p², p³) = W_vec vec_i
        x_i += ⟨p¹, p²⟩ ⊙ o² + o³,   vec_i += p³ ⊙ o¹ + V_i

    `as_released=True` undoes two differences from the released code:

    * C damps the vector message. In the release it does not, and the vectors jump by up to 0.25 when a pair crosses the
      cutoff.
    * `vector_norm` is exactly equivariant (see :class:`.WhitenedVectorNorm`).

    Two differences remain in both modes. No neighbor is dropped, whereas the release keeps 32 of them, and which ones
    depends on the device. Coincident atoms give a zero direction instead of NaN.

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_layers: Number of attention layers.
        num_heads: Number of attention heads. It divides `hidden_channels`.
        num_rbf: Number of radial basis functions.
        cutoff: r_c in Å.
        max_z: Largest atomic number in the embedding tables.
        vector_norm: Norm of the vectors. "rms" has one scale per atom and is smooth, "whitened" also decorrelates the
            axes, as Coord does, and None leaves vectors as they are.
        norm_every_layer: Normalize scalars and vectors after every layer as well as at the end, as the released
            MolSpectra encoder for QM9S does.
        as_released: Reproduce the released arithmetic. Needs `vector_norm` "whitened" or None.
        checkpoint: Recompute each layer in the backward pass instead of storing its intermediates (activation
            checkpointing, Chen et al. 2016, arXiv:1604.06174). This costs one more forward pass and saves memory.

    Raises:
        ValueError: An argument is out of its range, or the arguments do not fit each other.

    Example:
        >>> encoder = EquivariantTransformer(hidden_channels=32, num_layers=2, num_heads=4)
        >>> atoms = encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        >>> atoms.scalars.shape, atoms.vectors.shape
        (torch.Size([3, 32]), torch.Size([3, 3, 32]))
    """

    takes_vector_context = True

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
        check_choice("vector_norm", vector_norm, ("rms", "whitened", None))
        if as_released and vector_norm == "rms":
            raise ValueError(
                'as_released: the released encoder has no "rms" norm; got "rms". Pass vector_norm="whitened" or None.'
            )
        self.checkpoint = checkpoint
        self.radial_basis = ExpNormalBasis(num_rbf, cutoff)
        # Row z of a table is element z. Row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.neighbor_embedding = NeighborEmbedding(hidden_channels, num_rbf, max_z)
        self.layers = nn.ModuleList(
            EquivariantAttention(hidden_channels, num_heads, num_rbf, as_released=as_released)
            for _ in range(num_layers)
        )
        num_inner = num_layers if norm_every_layer else 0
        # ε = 1 bounds the gain of the norms between layers by 1. The vectors of an atom at a center of symmetry are
        # rounding noise, and the gains of all layers multiply.
        inner_eps = None if as_released else 1.0
        self.scalar_norms = nn.ModuleList(LayerNorm(hidden_channels) for _ in range(num_inner))
        self.vector_norms = nn.ModuleList(
            make_vector_norm(vector_norm, hidden_channels, inner_eps, as_released) for _ in range(num_inner)
        )
        self.out_norm = LayerNorm(hidden_channels)
        self.out_vector_norm = make_vector_norm(vector_norm, hidden_channels, as_released=as_released)

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute scalars (N, F) and vectors (N, 3, F)."""
        with record_function("molspectra::equivariant_transformer.pairs"):
            neighborhood = self._neighborhood(molecules)
        with record_function("molspectra::equivariant_transformer.neighbor_embedding"):
            embedded = self.embedding(molecules.z)
            scalars = self.neighbor_embedding(molecules.z, embedded, neighborhood)
        # Autocast runs the projections in half precision. The residual stream keeps the precision of the weights.
        scalars = molecules.add_context(scalars.to(embedded.dtype))
        vectors = molecules.initial_vectors(scalars)
        # torch.func has no rule for checkpoints, and keeps all intermediates.
        stored = not self.checkpoint or is_transformed()
        run_layer = self._layer if stored else partial(checkpoint, self._layer, use_reentrant=False)
        for index in range(len(self.layers)):
            with record_function("molspectra::equivariant_transformer.layer"):
                scalars, vectors = run_layer(index, scalars, vectors, neighborhood)
            scalars = self.hook_point(scalars)
        return AtomFeatures(self.out_norm(scalars), self.out_vector_norm(vectors))

    def _neighborhood(self, molecules: Molecules) -> Neighborhood:
        """List each pair once: basis and envelope depend on the distance alone, and so do the filters of all layers."""
        pos = molecules.pos
        pairs = half_neighbor_list(pos, molecules.batch, self.cutoff)
        distance, direction = edge_geometry(pos, pairs.flip(0))
        # Computed once per step: the envelope is also a factor of the radial basis.
        envelope = self.radial_basis.envelope(distance)
        basis = self.radial_basis(distance, envelope)
        return Neighborhood(pairs, direction, basis, envelope.unsqueeze(-1), self.radial_basis(pos.new_zeros(1)))

    def _layer(self, index: int, scalars: Tensor, vectors: Tensor, neighborhood: Neighborhood) -> tuple[Tensor, Tensor]:
        """Add the changes that one layer makes, and normalize if that is asked for."""
        delta_scalars, delta_vectors = self.layers[index](scalars, vectors, neighborhood)
        scalars, vectors = scalars + delta_scalars, vectors + delta_vectors
        if not self.scalar_norms:
            return scalars, vectors
        return self.scalar_norms[index](scalars), self.vector_norms[index](vectors)
