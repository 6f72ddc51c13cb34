"""E(n)-equivariant graph neural network, the 3D encoder of 3D-EMGP."""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.utils import scatter

from molspectra._validation import check_choice, check_sizes
from molspectra.encoders.base import BaseEncoder, Edges, Molecules
from molspectra.encoders.egnn.element_polynomial import ElementPolynomial
from molspectra.encoders.egnn.layer import EGNNLayer
from molspectra.encoders.egnn.neighborhood import Neighborhood, make_neighborhood
from molspectra.features import AtomFeatures
from molspectra.geometry.hops import hop_counts
from molspectra.geometry.neighbors import edge_geometry
from molspectra.layers.layer_norm import LayerNorm
from molspectra.layers.radial import CosineCutoff


class EGNN(BaseEncoder):
    """E(n)-equivariant graph network (Satorras et al. 2021, arXiv:2102.09844), pre-trained by 3D-EMGP.

    Atoms carry scalars h (F) and positions x. In each layer an atom i receives messages from the atoms j of its
    molecule within the cutoff r_c. C is the cosine cutoff of the initial distances (1 without a cutoff), t_ij the
    one-hot type of an edge and σ the sigmoid:

        m_ij = φ_e[h_i ‖ h_j ‖ ln(1 + |x_i - x_j|²) ‖ t_ij]           messages, eqn 3
        m_ij ← C_ij σ(w·m_ij + b) m_ij                                attention, eqn 8
        h_i += φ_h[h_i ‖ s_i Σ_j m_ij]                                eqns 5 and 6
        x_i += Σ_j w_ij (x_i - x_j) φ_x(m_ij)                         where atoms move, eqn 4
        w_ij = C_ij / n_i,   s_i = 1 / √n_i,   n_i = 1 + Σ_k C_ik     the atom itself counts as one

    The scalars are h after the last layer. The vectors have no weights of their own: they are
    v_i = s_i Σ_j (x_j - x_i) / (1 + r_ij) ⊗ m_ij of the last messages, plus the displacement of the atom where atoms
    move. Edges and C belong to the initial positions in all layers. All other terms use the current positions.

    `as_released=True` undoes the differences from the released code of 3D-EMGP (arXiv:2207.08824):

    * The squared distance enters by ln(1 + r²), as in LorentzNet (arXiv:2201.08187). Raw squares of distances of 10 Å
      dominate a message: energies of strongly perturbed molecules reach 90 in the published weights.
    * Elements have an embedding. In the release it is Σ_p a_zp (z/100)^p with p = 0, 1, 2, whose terms with p > 0 are
      tiny for light elements.
    * Sums over neighbors are scaled by s_i. In the release they are not, and where all atoms of a molecule are
      connected, features grow without bounds with its size (to 10³ for an alkane of a hundred atoms).
    * The mean over neighbors has weights w_ij, which change smoothly when an atom crosses the cutoff. The release
      divides by the number of neighbors, or by 1 for a lone atom.
    * With `layer_norm`, messages are normalized before the attention. In the release they are normalized after it,
      which takes the attention out again.
    * The networks on the edges start from Xavier's weights. In the release they start from PyTorch's, which makes
      messages and vectors five times smaller and learning slower.
    * Networks that move atoms exist only in layers where atoms move. In the release they exist in all layers, mostly
      unused.

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_layers: Number of layers.
        cutoff: r_c in Å. None connects all atoms of a molecule.
        max_hops: Distinguish pairs of atoms that are 1, 2, … `max_hops` bonds apart from each other and from all other
            pairs, by the one-hot type t_ij. The encoder then needs bonds. 0 for an encoder without bonds.
        coordinates: Layers in which atoms move: "never", "last" or "every".
        attention: Weight the messages as above.
        layer_norm: Normalize the messages, the scalars that networks read, and the final scalars.
        max_z: Largest atomic number in the embedding table.
        as_released: Reproduce the released arithmetic. Needs `cutoff=None`.

    Raises:
        ValueError: An argument is out of its range, or the released arithmetic is asked for with a cutoff.

    Example:
        >>> encoder = EGNN(hidden_channels=32, num_layers=2, max_hops=3)
        >>> z, pos = torch.tensor([8, 1, 1]), torch.randn(3, 3)
        >>> atoms = encoder(z, pos, bond_index=torch.tensor([[0, 0], [1, 2]]))
        >>> atoms.scalars.shape, atoms.vectors.shape
        (torch.Size([3, 32]), torch.Size([3, 3, 32]))
    """

    def __init__(
        self,
        hidden_channels: int = 128,
        num_layers: int = 7,
        cutoff: float | None = 5.0,
        max_hops: int = 0,
        coordinates: Literal["never", "last", "every"] = "never",
        attention: bool = True,
        layer_norm: bool = False,
        max_z: int = 100,
        *,
        as_released: bool = False,
    ) -> None:
        super().__init__(hidden_channels, math.inf if cutoff is None else cutoff, max_z)
        check_sizes(hidden_channels=hidden_channels, num_layers=num_layers)
        check_choice("coordinates", coordinates, ("never", "last", "every"))
        if max_hops < 0:
            raise ValueError(f"max_hops must not be negative; got {max_hops}.")
        if as_released and cutoff is not None:
            raise ValueError(
                f"The released encoder has no cutoff; pass cutoff=None with as_released=True; got {cutoff}."
            )
        first_moving = {"never": num_layers, "last": num_layers - 1, "every": 0}[coordinates]
        self.needs_bonds = max_hops > 0
        self.max_hops = max_hops
        self.as_released = as_released
        self.moves = [layer >= first_moving for layer in range(num_layers)]
        self.envelope = CosineCutoff(self.cutoff)
        # Row z of a table is element z. Row 0 is never read.
        self.embedding = (
            ElementPolynomial(hidden_channels, max_z) if as_released else nn.Embedding(max_z + 1, hidden_channels)
        )
        self.layers = nn.ModuleList(
            EGNNLayer(
                hidden_channels,
                max_hops + 1 if max_hops else 0,
                attention=attention,
                layer_norm=layer_norm,
                moves=as_released or moves,
                as_released=as_released,
            )
            for moves in self.moves
        )
        self.out_norm = LayerNorm(hidden_channels) if layer_norm else nn.Identity()

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute scalars (N, F) and vectors (N, 3, F)."""
        return self._encode_and_move(molecules)[0]

    def move(
        self,
        z: Int[Tensor, " atoms"],
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        *,
        bond_index: Int[Tensor, "2 bonds"] | None = None,
        context: Float[Tensor, "atoms channels"] | None = None,
    ) -> tuple[AtomFeatures, Float[Tensor, "atoms 3"]]:
        """Compute the features, and the final positions of the atoms (N, 3) in Å. Arguments as in :meth:`forward`."""
        return self._encode_and_move(self.check(z, pos, batch, bond_index=bond_index, context=context))

    def _encode_and_move(self, molecules: Molecules) -> tuple[AtomFeatures, Tensor]:
        start = pos = molecules.pos
        # Edges and weights stay those of the initial positions. Otherwise features would jump where moving atoms cross
        # the cutoff.
        edges = self.edges(molecules)
        neighborhood = self._neighborhood(molecules, edges)
        edge_vec, radial = self._edge_vectors(pos, edges.index)
        scalars = molecules.add_context(self.embedding(molecules.z))
        for layer, moves in zip(self.layers, self.moves, strict=True):
            with record_function("molspectra::egnn.layer"):
                delta, messages, displacement = layer(scalars, radial, neighborhood, edge_vec if moves else None)
                if moves:
                    pos = pos + displacement
                    edge_vec, radial = self._edge_vectors(pos, edges.index)
            scalars = self.hook_point(scalars + delta)
        with record_function("molspectra::egnn.vectors"):
            distance = edges.distance if pos is start else edge_geometry(pos, edges.index)[0]
            # 1 + r instead of r: finite and smooth where two atoms coincide.
            along = edge_vec / (1 + distance.unsqueeze(1))
            vectors = along.unsqueeze(2) * messages.unsqueeze(1)
            vectors = scatter(vectors, edges.index[1], dim=0, dim_size=molecules.num_atoms, reduce="sum")
            vectors = vectors * neighborhood.scale.unsqueeze(2)
            # A displacement is a vector as well, added to all channels.
            if pos is not start:
                vectors = vectors + (pos - start).unsqueeze(2)
        return AtomFeatures(self.out_norm(scalars), vectors), pos

    def _edge_vectors(self, pos: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """Return x_j - x_i (E, 3), and the function of its length that messages read (E, 1)."""
        source, target = edge_index
        # Not length times direction, whose derivative is lost where two atoms coincide.
        edge_vec = pos.index_select(0, source) - pos.index_select(0, target)
        square = edge_vec.square().sum(dim=1, keepdim=True)
        return edge_vec, square if self.as_released else torch.log1p(square)

    def _neighborhood(self, molecules: Molecules, edges: Edges) -> Neighborhood:
        edge_type = None
        if self.needs_bonds:
            if molecules.bond_index is None:
                raise ValueError(
                    f"EGNN with max_hops={self.max_hops} needs bond_index (2, B); got None. Pass the bonds (molecules "
                    "without any have torch.empty(2, 0, dtype=torch.int64)), a function around the encoder by its own "
                    "keyword bond_index=, or build the encoder with max_hops=0."
                )
            edge_type = hop_counts(molecules.bond_index, edges.index, molecules.num_atoms, self.max_hops)
        # The envelope is computed once per step. All layers damp their messages by it.
        envelope = self.envelope(edges.distance).unsqueeze(1)
        return make_neighborhood(edges.index, envelope, edge_type, molecules.num_atoms, self.as_released)
