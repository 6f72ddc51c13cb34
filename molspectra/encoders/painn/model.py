"""Polarizable atom interaction neural network, PaiNN."""

from torch import nn
from torch.profiler import record_function

from molspectra._validation import check_sizes
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.encoders.painn.message import PaiNNMessage
from molspectra.encoders.painn.radial_basis import BesselBasis
from molspectra.encoders.painn.update import PaiNNUpdate
from molspectra.features import AtomFeatures
from molspectra.layers.radial import CosineCutoff


class PaiNN(BaseEncoder):
    """Polarizable atom interaction neural network (Schütt, Unke & Gastegger 2021, arXiv:2102.03150).

    Atoms carry scalars x (F), at first an embedding of their element, and vectors v (3 × F), at first 0. Every layer
    adds messages from the atoms within the cutoff (:class:`.PaiNNMessage`). Then scalars and vectors of each atom act
    on each other (:class:`.PaiNNUpdate`). The radial basis is sin(n π r / r_c) / r, scaled to be at most 1
    (:class:`.BesselBasis`).

    Between coincident atoms, the direction is 0 and the basis functions take their limit for r → 0. The norm in the
    update is smooth at 0. As in the paper, nothing is normalized: features grow with the number of layers and
    neighbors.

    Args:
        hidden_channels: Width F of scalars and vectors.
        num_layers: Number of pairs of message and update blocks.
        num_rbf: Number of radial basis functions.
        cutoff: r_c in Å.
        max_z: Largest atomic number in the embedding table.

    Raises:
        ValueError: A size is out of range.

    Example:
        >>> encoder = PaiNN(hidden_channels=32)
        >>> atoms = encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        >>> atoms.scalars.shape, atoms.vectors.shape
        (torch.Size([3, 32]), torch.Size([3, 3, 32]))
    """

    takes_vector_context = True

    def __init__(
        self,
        hidden_channels: int = 128,
        num_layers: int = 3,
        num_rbf: int = 20,
        cutoff: float = 5.0,
        max_z: int = 100,
    ) -> None:
        super().__init__(hidden_channels, cutoff, max_z)
        check_sizes(hidden_channels=hidden_channels, num_layers=num_layers)
        self.radial_basis = BesselBasis(num_rbf, cutoff)
        self.envelope = CosineCutoff(cutoff)
        # Row z of the table is element z. Row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.messages = nn.ModuleList(PaiNNMessage(hidden_channels, num_rbf) for _ in range(num_layers))
        self.updates = nn.ModuleList(PaiNNUpdate(hidden_channels) for _ in range(num_layers))

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute scalars (N, F) and vectors (N, 3, F)."""
        edges = self.edges(molecules)
        # Functions of the distance are computed once, for all layers.
        rbf = self.radial_basis(edges.distance)
        envelope = self.envelope(edges.distance).unsqueeze(-1)

        scalars = molecules.add_context(self.embedding(molecules.z))
        # Elements have no direction. The first messages make vectors of the directions of the edges.
        vectors = molecules.initial_vectors(scalars)
        for message, update in zip(self.messages, self.updates, strict=True):
            with record_function("molspectra::painn.message"):
                delta_scalars, delta_vectors = message(scalars, vectors, edges.index, rbf, envelope, edges.direction)
                scalars, vectors = scalars + delta_scalars, vectors + delta_vectors
            with record_function("molspectra::painn.update"):
                delta_scalars, delta_vectors = update(scalars, vectors)
                scalars, vectors = scalars + delta_scalars, vectors + delta_vectors
            scalars = self.hook_point(scalars)
        return AtomFeatures(scalars, vectors)
