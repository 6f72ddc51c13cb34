"""PaiNN, the polarizable atom interaction neural network."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import add_context, check_dtype, check_molecules, check_sizes
from molspectra.encoders.painn.blocks import PaiNNMessage, PaiNNUpdate
from molspectra.encoders.painn.radial_basis import BesselBasis
from molspectra.features import AtomFeatures
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.hook_point import HookPoint
from molspectra.layers.radial import CosineCutoff


class PaiNN(Configurable, nn.Module):
    """Polarizable atom interaction neural network (Schütt, Unke & Gastegger 2021, arXiv:2102.03150).

    Atoms carry scalars x (F), at first an embedding of their element, and vectors v (3 × F), at first 0. Every layer
    adds messages from the atoms within the cutoff (:class:`.PaiNNMessage`), then lets scalars
    and vectors of each atom act on each other (:class:`.PaiNNUpdate`). The radial basis is
    sin(n π r / r_c) / r, scaled to be at most 1 (:class:`.BesselBasis`).

    Coincident atoms see each other in no direction, at the basis functions' limit for r → 0; the norm in the update is
    smooth at 0. As in the paper, nothing is normalised: features grow with the number of layers and neighbours.

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_layers: Number of pairs of message and update blocks.
        num_rbf: Number of radial basis functions.
        cutoff: r_c in Å.
        max_z: Largest atomic number in the embedding table.

    Raises:
        ValueError: a size is out of range.

    Example:
        >>> encoder = PaiNN(hidden_channels=32)
        >>> atoms = encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        >>> atoms.scalars.shape, atoms.vectors.shape
        (torch.Size([3, 32]), torch.Size([3, 3, 32]))
    """

    def __init__(
        self,
        hidden_channels: int = 128,
        num_layers: int = 3,
        num_rbf: int = 20,
        cutoff: float = 5.0,
        max_z: int = 100,
    ) -> None:
        super().__init__()
        check_sizes(hidden_channels=hidden_channels, num_layers=num_layers)
        if not 1 <= max_z <= 118:
            raise ValueError(f"max_z must lie in 1..118; got {max_z}.")
        self.out_channels = hidden_channels
        self.cutoff = cutoff
        self.max_z = max_z
        self.radial_basis = BesselBasis(num_rbf, cutoff)
        self.envelope = CosineCutoff(cutoff)
        # Row z of the table is element z; row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.messages = nn.ModuleList(PaiNNMessage(hidden_channels, num_rbf) for _ in range(num_layers))
        self.updates = nn.ModuleList(PaiNNUpdate(hidden_channels) for _ in range(num_layers))
        self.hook_point = HookPoint()

    def forward(
        self,
        z: Int[Tensor, " atoms"],
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        *,
        bond_index: Int[Tensor, "2 bonds"] | None = None,
        bond_order: Float[Tensor, " bonds"] | None = None,
        context: Float[Tensor, "atoms channels"] | None = None,
    ) -> AtomFeatures:
        """Encode a batch of molecules.

        Args:
            z: Atomic numbers (N,), 1..max_z.
            pos: Positions in Å, (N, 3).
            batch: Molecule of each atom (N,), sorted; None for one molecule.
            bond_index: Ignored; the encoder sees distances only.
            bond_order: Ignored.
            context: (N, F), added to the initial scalars.

        Returns:
            Scalars (N, F) and vectors (N, 3, F).

        Raises:
            ValueError: see :func:`molspectra.data.validate`; values are checked for CPU tensors only.
            TypeError: `pos` has another dtype than the weights.
        """
        check_molecules(z, pos, batch, self.max_z)
        check_dtype("pos", pos, self.embedding.weight)
        pos = pos.to(self.embedding.weight.dtype)  # under autocast it may have another; geometry is never halved
        edge_index = radius_graph(pos, batch, self.cutoff)
        distance, direction = edge_geometry(pos, edge_index)
        rbf = self.radial_basis(distance)
        envelope = self.envelope(distance).unsqueeze(-1)

        scalars = add_context(self.embedding(z), context)
        vectors = scalars.new_zeros(scalars.shape[0], 3, scalars.shape[1])
        for message, update in zip(self.messages, self.updates, strict=True):
            delta_scalars, delta_vectors = message(scalars, vectors, edge_index, rbf, envelope, direction)
            scalars, vectors = scalars + delta_scalars, vectors + delta_vectors
            delta_scalars, delta_vectors = update(scalars, vectors)
            scalars, vectors = scalars + delta_scalars, vectors + delta_vectors
            scalars = self.hook_point(scalars)
        return AtomFeatures(scalars, vectors)
