"""The E(n)-equivariant graph neural network, the 3D encoder of 3D-EMGP."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.utils import scatter

from molspectra._validation import check_sizes
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.encoders.egnn.layer import EGNNLayer, Neighborhood
from molspectra.features import AtomFeatures
from molspectra.geometry.hops import hop_counts
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.constants import ExactConstants
from molspectra.layers.radial import CosineCutoff


class EGNN(BaseEncoder):
    """E(n)-equivariant graph network (Satorras et al. 2021, arXiv:2102.09844), pre-trained by 3D-EMGP.

    Atoms carry scalars h (F) and positions x. In each layer an atom i hears the atoms j of its molecule within the
    cutoff r_c; with C the cosine cutoff (1 everywhere if there is none) of the distances that atoms come with,
    t_ij the one-hot type of an edge and σ the sigmoid:

        m_ij = φ_e[h_i ‖ h_j ‖ ln(1 + |x_i - x_j|²) ‖ t_ij]           messages, eqn 3
        m_ij ← C_ij σ(w·m_ij + b) m_ij                                attention, eqn 8
        h_i += φ_h[h_i ‖ s_i Σ_j m_ij]                                eqns 5 and 6
        x_i += Σ_j w_ij (x_i - x_j) φ_x(m_ij)                         where atoms move, eqn 4
        w_ij = C_ij / n_i,   s_i = 1 / √n_i,   n_i = 1 + Σ_k C_ik     the atom itself counts as one

    The scalars are h after the last layer, and the vectors, which have no weights of their own,
    v_i = s_i Σ_j (x_j - x_i) / (1 + r_ij) ⊗ m_ij of its messages, plus the displacement of the atom where atoms move.
    Edges and C are those of the positions that come in, in all layers; all else is of the positions as they then are.

    Differences from the released code of 3D-EMGP (arXiv:2207.08824), all undone by `as_released=True`:

    * the squared distance enters by ln(1 + r²), as in LorentzNet (arXiv:2201.08187); raw, distances of some 10 Å swamp
      all else in a message (energies of strongly perturbed molecules reach 90 in the published weights);
    * elements have an embedding; in the release, it is Σ_p a_zp (z/100)^p with p = 0, 1, 2, of which the terms with
      p > 0 are tiny for light elements;
    * sums over neighbours are scaled by s_i; in the release they are not, and where all atoms of a molecule are
      connected, features grow without bounds with its size (to 10³ for an alkane of a hundred atoms);
    * the mean over the neighbours is w_ij, which changes smoothly when one crosses the cutoff; the release divides by
      their number, or by 1 for a lone atom;
    * with `layer_norm`, messages are normalised ahead of the attention; in the release behind it, which takes the
      attention out again;
    * the networks on the edges start from Xavier's weights; in the release from PyTorch's own, which make for messages
      and vectors a fifth as large and for slower learning;
    * networks that move atoms are there only in layers where atoms move; in the release in all layers, mostly unused.

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_layers: Number of layers.
        cutoff: r_c in Å; None to connect all atoms of a molecule.
        max_hops: Tell pairs of atoms 1, 2, … up to `max_hops` bonds apart from each other and from all others, by the
            one-hot type t_ij; the encoder then needs bonds. 0 for an encoder that does without.
        coordinates: In which layers atoms move: "never", "last" or "every".
        attention: Weigh the messages as above.
        layer_norm: Normalise scalars where networks read them, the messages, and the scalars that come out.
        max_z: Largest atomic number in the embedding table.
        as_released: Reproduce the released arithmetic; needs `cutoff=None`.

    Raises:
        ValueError: an argument is out of its range, or there is a cutoff in the released arithmetic.

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
        _check_arguments(cutoff, max_hops, coordinates, as_released)
        first_moving = {"never": num_layers, "last": num_layers - 1, "every": 0}[coordinates]
        self.needs_bonds = max_hops > 0
        self.max_hops = max_hops
        self.as_released = as_released
        self.moves = [layer >= first_moving for layer in range(num_layers)]
        self.envelope = CosineCutoff(self.cutoff)
        # Row z of a table is element z; row 0 is never read.
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
        self.out_norm = nn.LayerNorm(hidden_channels) if layer_norm else nn.Identity()

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
        edge_index = radius_graph(pos, molecules.batch, self.cutoff)
        geometry = self._geometry(pos, edge_index)
        neighborhood = self._neighborhood(geometry.distance, edge_index, molecules.bond_index, molecules.num_atoms)
        scalars = molecules.add_context(self.embedding(molecules.z))
        for layer, moves in zip(self.layers, self.moves, strict=True):
            delta, messages, displacement = layer(
                scalars, geometry.radial, neighborhood, geometry.edge_vec if moves else None
            )
            scalars = self.hook_point(scalars + delta)
            if moves:
                pos = pos + displacement
                geometry = self._geometry(pos, edge_index)

        along = geometry.edge_vec / (1 + geometry.distance)
        vectors = along.unsqueeze(2) * messages.unsqueeze(1)
        vectors = scatter(vectors, edge_index[1], dim=0, dim_size=molecules.num_atoms, reduce="sum")
        vectors = vectors * neighborhood.scale.unsqueeze(2)
        if any(self.moves):
            vectors = vectors + (pos - start).unsqueeze(2)
        return AtomFeatures(self.out_norm(scalars), vectors), pos

    def _geometry(self, pos: Tensor, edge_index: Tensor) -> "_Geometry":
        source, target = edge_index
        # Not length times direction, whose derivative is lost where two atoms coincide.
        edge_vec = pos.index_select(0, source) - pos.index_select(0, target)
        square = edge_vec.square().sum(dim=1, keepdim=True)
        distance, _ = edge_geometry(pos, edge_index)
        return _Geometry(edge_vec, distance.unsqueeze(1), square if self.as_released else torch.log1p(square))

    def _neighborhood(
        self, distance: Tensor, edge_index: Tensor, bond_index: Tensor | None, num_atoms: int
    ) -> Neighborhood:
        target = edge_index[1]
        envelope = self.envelope(distance)
        count = scatter(envelope, target, dim=0, dim_size=num_atoms, reduce="sum")
        count = count.clamp(min=1) if self.as_released else count + 1
        weight = envelope / count.index_select(0, target)
        scale = torch.ones_like(count) if self.as_released else torch.rsqrt(count)
        edge_type = None
        if self.max_hops:
            if bond_index is None:
                raise ValueError(
                    f"EGNN with max_hops={self.max_hops} needs bond_index (2, B); got None. Pass the bonds (molecules "
                    "without any have torch.empty(2, 0, dtype=torch.int64)), or build the encoder with max_hops=0."
                )
            edge_type = hop_counts(bond_index, edge_index, num_atoms, self.max_hops)
        return Neighborhood(edge_index, envelope, weight, scale, edge_type)


class ElementPolynomial(ExactConstants):
    """E(z) = Σ_p a_zp (z/100)^p + b with p = 0, 1, 2: a linear map of the released 3D-EMGP's features of elements.

    Args:
        hidden_channels: Width F.
        max_z: Largest atomic number.
    """

    powers: Tensor

    def __init__(self, hidden_channels: int, max_z: int) -> None:
        # In the precision of the release, which the published weights were trained with.
        super().__init__(lambda: {"powers": ((torch.arange(max_z + 1) / 100).unsqueeze(1) ** torch.arange(3)).double()})
        self.linear = nn.Linear(3 * (max_z + 1), hidden_channels)

    def forward(self, z: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms channels"]:
        """Atomic numbers (N,) → (N, F)."""
        # Of the 3 (max_z + 1) features of an atom all but three are 0.
        coefficients = self.linear.weight.t().unflatten(0, (-1, 3)).index_select(0, z)
        return (coefficients * self.powers.index_select(0, z).unsqueeze(2)).sum(dim=1) + self.linear.bias


class _Geometry(NamedTuple):
    """What edges know of the positions: x_j - x_i (E, 3), r_ij (E, 1), and what messages read of it (E, 1)."""

    edge_vec: Tensor
    distance: Tensor
    radial: Tensor


def _check_arguments(cutoff: float | None, max_hops: int, coordinates: str, as_released: bool) -> None:
    if max_hops < 0:
        raise ValueError(f"max_hops must not be negative; got {max_hops}.")
    if coordinates not in ("never", "last", "every"):
        raise ValueError(f'coordinates must be "never", "last" or "every"; got {coordinates!r}.')
    if as_released and cutoff is not None:
        raise ValueError(f"The released encoder has no cutoff; pass cutoff=None with as_released=True; got {cutoff}.")
