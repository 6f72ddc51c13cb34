"""Geometric equivariant transformer, the encoder of SliDe."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.utils import scatter

from molspectra._validation import check_choice, check_heads, check_sizes
from molspectra.encoders.base import BaseEncoder, Edges, Molecules
from molspectra.encoders.get.attention import EdgeAttention
from molspectra.encoders.get.bessel import RadialBasis
from molspectra.encoders.get.edge_embedding import EdgeEmbedding
from molspectra.encoders.get.edge_update import EdgeUpdate
from molspectra.encoders.get.neighborhood import Neighborhood
from molspectra.encoders.get.triplets import TripletBasis
from molspectra.features import AtomFeatures
from molspectra.layers.initialization import init_linears
from molspectra.layers.layer_norm import LayerNorm
from molspectra.layers.radial import ExpNormalBasis
from molspectra.layers.vector_norm import make_vector_norm


class GET(BaseEncoder):
    """Geometric equivariant transformer (Ni et al. 2024, arXiv:2311.02124), the encoder that SliDe was published with.

    It is the :class:`.EquivariantTransformer` with filters that read features of the edges instead of distances. In
    each layer, edges first receive messages from the edges before them (:class:`.EdgeUpdate`), which depend on angles
    and torsions (:class:`.TripletBasis`). The output of an edge is f_ij. C is the cutoff envelope, and u_ij the unit
    vector from i to j:

        a_ij = SiLU(Σ_d q_i k_j SiLU(W_dk f_ij)) C(r_ij)              attention, per head
        (s⁰, s¹, s²) = v_j ⊙ SiLU(W_dv f_ij)                          values
        X_i = Σ_j a_ij s⁰,   V_i = Σ_j C(r_ij) (vec_j ⊙ s¹ + u_ij ⊗ s²)
        (o¹, o², o³) = W_o X_i,   (p¹, p², p³) = W_vec vec_i
        x_i += ⟨p¹, p²⟩ ⊙ o² + o³,   vec_i += p³ ⊙ o¹ + V_i

    Two arrangements were published. That for MD17 is the default. That for QM9 is `normalize=True`: a softmax over the
    heads of an edge, the mean over neighbors in place of the sum, and LayerNorm of the edges.

    `as_released=True` undoes the differences from the released code:

    * Torsions are means over the neighbors of an atom. In the release, a torsion is the smallest rotation to another
      neighbor. It jumps where neighbors lie in one plane, as in benzene, and differs between mirror images.
    * C damps the vector message, and follows the softmax. Means weight neighbors by C. In the release, features jump
      when a pair crosses the cutoff.
    * Spherical Bessel functions have the order of their harmonic.
    * `vector_norm` is exactly equivariant (see :class:`.WhitenedVectorNorm`).

    Three differences remain in both modes. The release compares each atom with itself as well when it looks for the
    nearest neighbor, so that about half of its torsions are rounding noise. It keeps 32 neighbors and drops others.
    Coincident atoms give NaN there and finite features here.

    Args:
        hidden_channels: Width F of scalars, vectors and edges.
        num_layers: Number of layers.
        num_heads: Number of attention heads. It divides `hidden_channels`.
        num_rbf: Number of radial basis functions.
        cutoff: r_c in Å. Time and memory of a layer grow with the number of pairs of edges, about its sixth power.
        max_z: Largest atomic number in the embedding tables.
        normalize: Use the arrangement for QM9, see above.
        vector_norm: Norm of the vectors. "rms" has one scale per atom and is smooth, "whitened" also decorrelates the
            axes, and None leaves vectors as they are.
        norm_every_layer: Normalize vectors after every layer as well as at the end, as the release for QM9 does.
        as_released: Reproduce the released arithmetic. Needs `vector_norm` "whitened" or None.

    Raises:
        ValueError: An argument is out of its range, or the arguments do not fit each other.

    Example:
        >>> encoder = GET(hidden_channels=32, num_layers=2, num_heads=4)
        >>> encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        AtomFeatures(scalars=[3, 32], vectors=[3, 3, 32])
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
        normalize: bool = False,
        vector_norm: Literal["rms", "whitened"] | None = "rms",
        norm_every_layer: bool = False,
        as_released: bool = False,
    ) -> None:
        super().__init__(hidden_channels, cutoff, max_z)
        check_sizes(num_layers=num_layers)
        check_heads(hidden_channels, num_heads)
        check_choice("vector_norm", vector_norm, ("rms", "whitened", None))
        if as_released and vector_norm == "rms":
            raise ValueError(
                'as_released: the release has no norm "rms"; got vector_norm="rms". Pass "whitened" or None.'
            )
        self.normalize = normalize
        self.as_released = as_released
        self.radial_basis = ExpNormalBasis(num_rbf, cutoff)
        self.edge_basis = RadialBasis(cutoff)
        self.triplet_basis = TripletBasis(cutoff, as_released)
        # Row z of a table is element z. Row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.neighbor_embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.neighbor_filter = nn.Linear(num_rbf, hidden_channels)
        self.combine = nn.Linear(2 * hidden_channels, hidden_channels)
        init_linears(self)
        self.edge_embedding = EdgeEmbedding(hidden_channels, num_rbf)
        self.edge_updates = nn.ModuleList(
            EdgeUpdate(
                hidden_channels,
                self.triplet_basis.num_angles,
                self.triplet_basis.num_torsions,
                normalize=normalize,
                # Nothing reads the state of the last layer. The release has weights for it nevertheless.
                normalize_state=normalize and (as_released or layer < num_layers - 1),
            )
            for layer in range(num_layers)
        )
        self.layers = nn.ModuleList(
            EdgeAttention(hidden_channels, num_heads, normalize=normalize, as_released=as_released)
            for _ in range(num_layers)
        )
        # ε = 1 bounds the gain of the norms between layers by 1, as in the equivariant transformer.
        inner_eps = None if as_released else 1.0
        self.vector_norms = nn.ModuleList(
            make_vector_norm(vector_norm, hidden_channels, inner_eps, as_released)
            for _ in range(num_layers if norm_every_layer else 0)
        )
        self.out_norm = LayerNorm(hidden_channels)
        self.out_vector_norm = make_vector_norm(vector_norm, hidden_channels, as_released=as_released)

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute scalars (N, F) and vectors (N, 3, F)."""
        edges = self.edges(molecules)
        envelope = self.radial_basis.envelope(edges.distance)
        with record_function("molspectra::get.triplets"):
            triplets = self.triplet_basis(edges, envelope, molecules.z)
        radial = self.edge_basis(edges.distance)
        neighborhood = self._neighborhood(edges, envelope, molecules.num_atoms)
        embedded = self.embedding(molecules.z)
        with record_function("molspectra::get.embedding"):
            basis = self.radial_basis(edges.distance, envelope)
            scalars = self._initial_scalars(molecules.z, embedded, edges, basis, envelope)
            scalars = molecules.add_context(scalars.to(embedded.dtype))
            source, target = edges.index
            state, _ = self.edge_embedding(embedded.index_select(0, source), embedded.index_select(0, target), basis)
            at_zero = self.radial_basis(envelope.new_zeros(1)).expand(molecules.num_atoms, -1)
            _, loops = self.edge_embedding(embedded, embedded, at_zero)
        vectors = molecules.initial_vectors(scalars)
        for index, (update, layer) in enumerate(zip(self.edge_updates, self.layers, strict=True)):
            with record_function("molspectra::get.edge_update"):
                state, output = update(state, radial, triplets)
            with record_function("molspectra::get.layer"):
                # Self-loops are in no triplet, and keep their initial features.
                deltas = layer(scalars, vectors, torch.cat([output, loops]), neighborhood)
                scalars, vectors = scalars + deltas[0], vectors + deltas[1]
                if self.vector_norms:
                    vectors = self.vector_norms[index](vectors)
            scalars = self.hook_point(scalars)
        return AtomFeatures(self.out_norm(scalars), self.out_vector_norm(vectors))

    def _initial_scalars(self, z: Tensor, embedded: Tensor, edges: Edges, basis: Tensor, envelope: Tensor) -> Tensor:
        """Return x_i = W_c [E(z_i) ‖ Σ_j E'(z_j) ⊙ (W φ_ij + b) C(r_ij)] + b_c, (N, F)."""
        source, target = edges.index
        messages = self.neighbor_embedding(z).index_select(0, source) * self.neighbor_filter(basis)
        messages = (messages * envelope.unsqueeze(1)).to(embedded.dtype)
        around = scatter(messages, target, dim=0, dim_size=embedded.shape[0], reduce="sum")
        return self.combine(torch.cat([embedded, around], dim=1))

    def _neighborhood(self, edges: Edges, envelope: Tensor, num_atoms: int) -> Neighborhood:
        """Add a self-loop of length 0 to the edges of each atom."""
        atoms = torch.arange(num_atoms, device=envelope.device)
        index = torch.cat([edges.index, atoms.expand(2, -1)], dim=1)
        direction = torch.cat([edges.direction, envelope.new_zeros(num_atoms, 3)])
        envelope = torch.cat([envelope, envelope.new_ones(num_atoms)]).unsqueeze(1)
        weight = None
        if self.normalize:
            counted = torch.ones_like(envelope) if self.as_released else envelope
            weight = 1 / scatter(counted, index[1], dim=0, dim_size=num_atoms, reduce="sum")
        return Neighborhood(index, direction, envelope, weight)
