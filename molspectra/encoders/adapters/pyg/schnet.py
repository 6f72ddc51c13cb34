"""Atom features of PyG's SchNet."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.nn.models import SchNet
from torch_geometric.nn.models.schnet import RadiusInteractionGraph

from molspectra.encoders.adapters.context import add_to_embedding
from molspectra.encoders.base import Molecules
from molspectra.features import AtomFeatures
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.hook_point import HookPoint


class SchNetFeatures(nn.Module):
    """Scalars after the last interaction of a SchNet (arXiv:1706.08566), which its output layers `lin1`, `lin2` read.

    A SchNet that was given an `interaction_graph` of its own keeps it. From RadiusInteractionGraph of PyG, only the
    cutoff is read.

    Args:
        model: SchNet whose parts are shared.
    """

    def __init__(self, model: SchNet) -> None:
        super().__init__()
        own = model.interaction_graph
        self.out_channels, self.max_z = model.hidden_channels, model.embedding.num_embeddings - 1
        self.cutoff = own.cutoff if isinstance(own, RadiusInteractionGraph) else model.cutoff
        self.embedding = model.embedding
        self.distance_expansion = model.distance_expansion
        self.interactions = model.interactions
        # PyG's own graph drops neighbors beyond `max_num_neighbors` and needs torch-cluster: edges are created here.
        self.interaction_graph = None if type(own) is RadiusInteractionGraph else own

    def forward(self, molecules: Molecules, hook_point: HookPoint) -> AtomFeatures:
        """Return scalars (N, F)."""
        with record_function("molspectra::schnet.edges"):
            edge_index, distance = self.edges(molecules)
            rbf = self.distance_expansion(distance)
        scalars = add_to_embedding(self.embedding(molecules.z), molecules.context)
        for interaction in self.interactions:
            with record_function("molspectra::schnet.interaction"):
                scalars = hook_point(scalars + interaction(scalars, edge_index, distance, rbf))
        return AtomFeatures(scalars)

    def edges(self, molecules: Molecules) -> tuple[Int[Tensor, "2 edges"], Float[Tensor, " edges"]]:
        """Return the pairs that interact, (2, E), and their distances in Å, (E,)."""
        if self.interaction_graph is not None:
            return self.interaction_graph(molecules.pos, molecules.batch_or_zeros)
        edge_index = radius_graph(molecules.pos, molecules.batch, self.cutoff)
        return edge_index, edge_geometry(molecules.pos, edge_index)[0]
