"""Atom features of PyG's ViSNet."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.nn.models import ViSNet
from torch_geometric.utils import scatter

from molspectra.encoders.adapters.context import add_to_embedding
from molspectra.encoders.base import Molecules
from molspectra.features import AtomFeatures
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.hook_point import HookPoint


class ViSNetFeatures(nn.Module):
    """Output of the `representation_model` of a ViSNet (arXiv:2210.16518): scalars, vectors and perhaps degree 2.

    Args:
        model: ViSNet whose representation model is shared.
    """

    def __init__(self, model: ViSNet) -> None:
        super().__init__()
        self.model = model.representation_model
        self.out_channels, self.cutoff = self.model.hidden_channels, self.model.cutoff
        self.max_z = self.model.embedding.num_embeddings - 1

    def forward(self, molecules: Molecules, hook_point: HookPoint) -> AtomFeatures:
        """Return scalars (N, F), vectors (N, 3, F) and perhaps degree 2 (N, 5, F), in e3nn's order as in ViSNet's."""
        model = self.model
        with record_function("molspectra::visnet.edges"):
            edge_index = radius_graph(molecules.pos, molecules.batch, self.cutoff, loop=True)
            distance, direction = edge_geometry(molecules.pos, edge_index)
            rbf, harmonics = model.distance_expansion(distance), model.sphere(direction)
        scalars = add_to_embedding(model.embedding(molecules.z), molecules.context)
        scalars = self.add_neighbors(molecules.z, scalars, edge_index, distance, rbf)
        tensors = scalars.new_zeros(scalars.shape[0], harmonics.shape[1], scalars.shape[1])
        edges = model.edge_embedding(edge_index, rbf, scalars)
        for layer in model.vis_mp_layers:
            with record_function("molspectra::visnet.layer"):
                delta_scalars, delta_tensors, delta_edges = layer(
                    scalars, tensors, edge_index, distance, edges, harmonics
                )
                scalars, tensors = scalars + delta_scalars, tensors + delta_tensors
                # The last layer does not update the edges, which nothing would read.
                edges = edges if delta_edges is None else edges + delta_edges
                scalars = hook_point(scalars)
        tensors = model.vec_out_norm(tensors)
        return AtomFeatures(model.out_norm(scalars), tensors[:, :3], (tensors[:, 3:],) if model.lmax > 1 else ())

    def add_neighbors(
        self,
        z: Int[Tensor, " atoms"],
        scalars: Float[Tensor, "atoms channels"],
        edge_index: Int[Tensor, "2 edges"],
        distance: Float[Tensor, " edges"],
        rbf: Float[Tensor, "edges num_rbf"],
    ) -> Float[Tensor, "atoms channels"]:
        """Return what `neighbor_embedding` of the model does, with sizes that do not depend on values.

        The model selects the edges that are no self-loops by a mask. Here they stay, with a weight of 0.
        """
        part = self.model.neighbor_embedding
        source, target = edge_index
        weight = part.distance_proj(rbf) * (part.cutoff(distance) * (source != target)).unsqueeze(1)
        messages = part.embedding(z).index_select(0, source) * weight
        around = scatter(messages, target, dim=0, dim_size=z.shape[0], reduce="sum")
        return part.combine(torch.cat([scalars, around], dim=1)).to(scalars.dtype)
