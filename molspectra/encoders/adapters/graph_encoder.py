"""Encoder made of a graph network."""

import math
from collections.abc import Callable
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.profiler import record_function

from molspectra._signature import attribute_of, takes, unwrap
from molspectra._validation import check_choice
from molspectra.encoders.adapters.context import add_to_embedding
from molspectra.encoders.adapters.model_attributes import modules_behind, read_cutoff, read_size, refuse_cached_graphs
from molspectra.encoders.adapters.model_outputs import as_atom_features
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.features import AtomFeatures
from molspectra.geometry.bonds import bond_graph
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.radial import CosineCutoff, ExpNormalBasis


class GraphEncoder(BaseEncoder):
    """Encoder made of a graph network (x, edge_index, …): PyG's GCN, GIN, GAT, PNA, …, one of their layers, or yours.

    The encoder embeds the elements, which gives the node features x, and creates the edges. `batch` is passed on if the
    network takes it. The modules of a bound method or of a `functools.partial` become part of the encoder.

    Graph networks differ in their symmetry, smoothness and derivatives: test yours by
    :class:`molspectra.testing.EncoderSuite`.

    Args:
        module: Graph network. It returns scalars (N, F), a pair of scalars and vectors (N, 3, F), or
            :class:`~molspectra.encoders.AtomFeatures`.
        out_channels: Width F of the features. Default: the attribute of this name of the network.
        cutoff: r_c in Å. Default: the attribute of this name of the network. A network of bonds can do without, and has
            then a cutoff of ∞.
        in_channels: Width of the node features. Default: the attribute of this name of the network.
        max_z: Largest atomic number in the embedding table.
        edges: "radius", all pairs within the cutoff, or "bonds", each in both directions.
        num_rbf: Pass `edge_attr` (E, num_rbf), a radial basis of the distances, to the network.
        edge_weight: Pass `edge_weight` (E,), the cosine cutoff of the distances, to the network.

    Raises:
        ValueError: A size is needed that neither the caller nor the network tells, or one is not positive; or the
            network does not take an argument, or keeps the first graph that it sees (`cached=True`).

    Example:
        >>> from torch_geometric.nn import GCN
        >>> encoder = GraphEncoder(GCN(16, 32, num_layers=2), cutoff=4.0, edge_weight=True)
        >>> encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3)).scalars.shape
        torch.Size([3, 32])
    """

    def __init__(
        self,
        module: Callable[..., Any],
        out_channels: int | None = None,
        cutoff: float | None = None,
        *,
        in_channels: int | None = None,
        max_z: int = 100,
        edges: Literal["radius", "bonds"] = "radius",
        num_rbf: int | None = None,
        edge_weight: bool = False,
    ) -> None:
        in_channels = read_size("in_channels", in_channels, module)
        out_channels = read_size("out_channels", out_channels, module)
        check_choice("edges", edges, ("radius", "bonds"))
        cutoff = read_cutoff(cutoff, module)
        if cutoff is None and (edges == "radius" or num_rbf is not None or edge_weight):
            raise ValueError(
                "Edges within a radius, and functions of their length, need a cutoff (Å); got cutoff=None."
            )
        for name, asked in (("edge_attr", num_rbf is not None), ("edge_weight", edge_weight)):
            # Networks of PyG accept both keywords, and say by an attribute which of them their layers read.
            if asked and not (takes(module, name) and attribute_of(module, f"supports_{name}", True)):
                raise ValueError(
                    f"{type(unwrap(module)).__name__} takes no {name}. Leave out num_rbf= or edge_weight=."
                )
        super().__init__(out_channels, math.inf if cutoff is None else cutoff, max_z)
        self.module, self.owners = module, modules_behind(module)
        self.needs_bonds = edges == "bonds"
        self.takes_batch = takes(module, "batch")
        # Row z of the table is element z. Row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, in_channels)
        self.radial_basis = None if num_rbf is None else ExpNormalBasis(num_rbf, self.cutoff)
        self.envelope = CosineCutoff(self.cutoff) if edge_weight else None
        refuse_cached_graphs(self)

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute the features that the network returns."""
        with record_function("molspectra::graph_encoder.edges"):
            edge_index = self._edge_index(molecules)
            keywords = self._edge_features(molecules.pos, edge_index)
        if self.takes_batch:
            keywords["batch"] = molecules.batch_or_zeros
        embedded = add_to_embedding(self.embedding(molecules.z), molecules.context)
        with record_function("molspectra::graph_encoder.network"):
            returned = self.module(embedded, edge_index, **keywords)
        return as_atom_features(returned, molecules, self.out_channels)

    def _edge_index(self, molecules: Molecules) -> Int[Tensor, "2 edges"]:
        """Return rows [source, target] of the pairs within the cutoff, or of the bonds in both directions."""
        if not self.needs_bonds:
            return radius_graph(molecules.pos, molecules.batch, self.cutoff)
        if molecules.bond_index is None:
            raise ValueError(
                'edges="bonds" needs bond_index (2, B); got None. Give the encoder the bonds of the data '
                '(molspectra.data finds them), or make the adapter with edges="radius".'
            )
        return bond_graph(molecules.bond_index, molecules.num_atoms)

    def _edge_features(self, pos: Float[Tensor, "atoms 3"], edge_index: Int[Tensor, "2 edges"]) -> dict[str, Tensor]:
        """Return the functions of the distances that the network is to read, by keyword."""
        distance, _ = edge_geometry(pos, edge_index)
        features = {}
        if self.radial_basis is not None:
            features["edge_attr"] = self.radial_basis(distance)
        if self.envelope is not None:
            features["edge_weight"] = self.envelope(distance)
        return features
