"""Features of atoms from PyG's own SchNet, DimeNet++ and ViSNet, with edges made here."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn.models import SchNet, ViSNet
from torch_geometric.nn.models.dimenet import DimeNetPlusPlus, OutputPPBlock
from torch_geometric.nn.models.schnet import RadiusInteractionGraph
from torch_geometric.utils import scatter

from molspectra.features import AtomFeatures
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.hook_point import HookPoint

# Å, a little less than the shortest bond there is, H-H of 0.74 Å: atoms that come closer count as this far. DimeNet++'s
# Bessel functions are quotients by powers of the distance, and features of atoms that strong noise has pushed into each
# other would grow a thousandfold.
_CLOSEST = 0.7


class Molecules(NamedTuple):
    """The arguments of an encoder."""

    z: Tensor
    pos: Tensor
    batch: Tensor
    bond_index: Tensor | None
    bond_order: Tensor | None
    context: Tensor | None


class FeatureSource(nn.Module):
    """A way to get atom features from molecules."""

    out_channels: int
    cutoff: float
    max_z: int
    needs_bonds = False

    def __init__(self) -> None:
        super().__init__()
        self.hook_point = HookPoint()


class SchNetFeatures(FeatureSource):
    """The scalars behind the last interaction of a SchNet, which its output layers `lin1`, `lin2` would read.

    A SchNet that was given an `interaction_graph` of its own keeps it. Of PyG's RadiusInteractionGraph only the cutoff
    is read.
    """

    def __init__(self, model: SchNet) -> None:
        super().__init__()
        own = model.interaction_graph
        self.out_channels, self.max_z = model.hidden_channels, model.embedding.num_embeddings - 1
        self.cutoff = own.cutoff if isinstance(own, RadiusInteractionGraph) else model.cutoff
        self.embedding = model.embedding
        self.distance_expansion = model.distance_expansion
        self.interactions = model.interactions
        self.interaction_graph = None if type(own) is RadiusInteractionGraph else own

    def forward(self, molecules: Molecules) -> AtomFeatures:
        """Scalars (N, F)."""
        if self.interaction_graph is None:
            edge_index = radius_graph(molecules.pos, molecules.batch, self.cutoff)
            distance, _ = edge_geometry(molecules.pos, edge_index)
        else:
            edge_index, distance = self.interaction_graph(molecules.pos, molecules.batch)
        rbf = self.distance_expansion(distance)
        scalars = with_context(self.embedding(molecules.z), molecules.context)
        for interaction in self.interactions:
            scalars = self.hook_point(scalars + interaction(scalars, edge_index, distance, rbf))
        return AtomFeatures(scalars)


class DimeNetFeatures(FeatureSource):
    """The atom embeddings of a DimeNet++, summed over its output blocks.

    Output block b gives y_i = Σ_b W_b h_ib for each atom i: h_ib, gathered from the messages to i, passed through the
    block's dense layers, is an embedding of the atom; the features are Σ_b h_ib, as wide as `out_emb_channels`. An atom
    without neighbours gets no message: its features are a constant, whatever the element (and the context).

    The angle enters only by spherical harmonics of order 0, Legendre polynomials of its cosine. They are computed from
    the cosine, which unlike the angle has derivatives where three atoms lie on a line. The spherical Bessel functions
    of the distance lose too many digits in single precision and are computed in double precision; atoms closer than
    0.7 Å count as 0.7 Å apart.
    """

    def __init__(self, model: DimeNetPlusPlus) -> None:
        super().__init__()
        self.cutoff, self.max_z = model.cutoff, model.emb.emb.num_embeddings - 1
        self.out_channels = model.output_blocks[0].lin_up.out_features
        self.rbf, self.sbf, self.emb, self.interactions = model.rbf, model.sbf, model.emb, model.interaction_blocks
        self.outputs = nn.ModuleList(AtomEmbedding(block) for block in model.output_blocks)

    def forward(self, molecules: Molecules) -> AtomFeatures:
        """Scalars (N, F)."""
        num_atoms = molecules.z.shape[0]
        edge_index = radius_graph(molecules.pos, molecules.batch, self.cutoff)
        distance, direction = edge_geometry(molecules.pos, edge_index)
        distance = distance.clamp(min=_CLOSEST)
        inner, outer = _edge_pairs(edge_index, num_atoms)
        cosine = (direction.index_select(0, inner) * direction.index_select(0, outer)).sum(dim=1)
        rbf = self.rbf(distance)
        sbf = self.spherical_basis(distance, cosine, inner)
        source, target = edge_index
        scalars = with_context(self.emb.emb(molecules.z), molecules.context)
        ends = scalars.index_select(0, target), scalars.index_select(0, source)
        messages = self.emb.act(self.emb.lin(torch.cat([*ends, self.emb.act(self.emb.lin_rbf(rbf))], dim=1)))
        first, *others = self.outputs
        features = first(messages, rbf, target, num_atoms).to(scalars.dtype)
        for interaction, output in zip(self.interactions, others, strict=True):
            messages = interaction(messages, rbf, sbf, inner, outer)
            features = self.hook_point(features + output(messages, rbf, target, num_atoms))
        return AtomFeatures(features)

    def spherical_basis(
        self, distance: Float[Tensor, " edges"], cosine: Float[Tensor, " pairs"], inner: Int[Tensor, " pairs"]
    ) -> Float[Tensor, "pairs basis"]:
        """Bessel functions of the length of an edge times Legendre polynomials of the cosine between it and the next.

        Equal to `model.sbf(distance, arccos(cosine), inner)`.
        """
        scaled = distance.double() / self.cutoff
        radial = torch.stack([function(scaled) for function in self.sbf.bessel_funcs], dim=1)
        radial = (radial * self.sbf.envelope(scaled).unsqueeze(1)).to(distance.dtype)
        degrees = self.sbf.num_spherical
        radial = radial.unflatten(1, (degrees, -1)).index_select(0, inner)
        return (radial * _order_zero_harmonics(cosine, degrees).unsqueeze(2)).flatten(1)


class AtomEmbedding(nn.Module):
    """An output block of DimeNet++ without its last linear map: messages (E, H) → atoms (N, F)."""

    def __init__(self, block: OutputPPBlock) -> None:
        super().__init__()
        self.lin_rbf, self.lin_up, self.lins, self.act = block.lin_rbf, block.lin_up, block.lins, block.act

    def forward(self, messages: Tensor, rbf: Tensor, target: Tensor, num_atoms: int) -> Tensor:
        """Gather the messages of each atom and pass them through the dense layers."""
        gathered = scatter(self.lin_rbf(rbf) * messages, target, dim=0, dim_size=num_atoms, reduce="sum")
        embedded = self.lin_up(gathered)
        for lin in self.lins:
            embedded = self.act(lin(embedded))
        return embedded


class ViSNetFeatures(FeatureSource):
    """What a ViSNet's `representation_model` gives: scalars, vectors and, with `lmax=2`, features of degree 2."""

    def __init__(self, model: ViSNet) -> None:
        super().__init__()
        self.model = model.representation_model
        self.out_channels, self.cutoff = self.model.hidden_channels, self.model.cutoff
        self.max_z = self.model.embedding.num_embeddings - 1

    def forward(self, molecules: Molecules) -> AtomFeatures:
        """Scalars (N, F), vectors (N, 3, F) and perhaps degree 2 (N, 5, F), in e3nn's order as in ViSNet's."""
        model = self.model
        edge_index = radius_graph(molecules.pos, molecules.batch, self.cutoff, loop=True)
        distance, direction = edge_geometry(molecules.pos, edge_index)
        rbf, harmonics = model.distance_expansion(distance), model.sphere(direction)
        scalars = with_context(model.embedding(molecules.z), molecules.context)
        scalars = self.add_neighbors(molecules.z, scalars, edge_index, distance, rbf)
        tensors = scalars.new_zeros(scalars.shape[0], harmonics.shape[1], scalars.shape[1])
        edges = model.edge_embedding(edge_index, rbf, scalars)
        for layer in model.vis_mp_layers:
            delta_scalars, delta_tensors, delta_edges = layer(scalars, tensors, edge_index, distance, edges, harmonics)
            scalars, tensors = scalars + delta_scalars, tensors + delta_tensors
            edges = edges if delta_edges is None else edges + delta_edges
            scalars = self.hook_point(scalars)
        tensors = model.vec_out_norm(tensors)
        return AtomFeatures(model.out_norm(scalars), tensors[:, :3], (tensors[:, 3:],) if model.lmax > 1 else ())

    def add_neighbors(self, z: Tensor, scalars: Tensor, edge_index: Tensor, distance: Tensor, rbf: Tensor) -> Tensor:
        """The model's `neighbor_embedding`, which picks the edges that are no loops by a mask: here they weigh 0."""
        part = self.model.neighbor_embedding
        source, target = edge_index
        weight = part.distance_proj(rbf) * (part.cutoff(distance) * (source != target)).unsqueeze(1)
        messages = part.embedding(z).index_select(0, source) * weight
        around = scatter(messages, target, dim=0, dim_size=z.shape[0], reduce="sum")
        return part.combine(torch.cat([scalars, around], dim=1)).to(scalars.dtype)


def with_context(embedded: Tensor, context: Tensor | None) -> Tensor:
    """Add a context (N, F) to the embedding of the elements (N, in), if there is one.

    Raises:
        ValueError: the widths differ.
    """
    if context is None:
        return embedded
    if context.shape != embedded.shape:
        raise ValueError(
            f"context (N, F) is added to the embedding of the elements, {tuple(embedded.shape)}; got "
            f"{tuple(context.shape)}. Build the model with features as wide as its embedding (DimeNetPlusPlus: "
            "out_emb_channels=hidden_channels; graph networks: out_channels=in_channels)."
        )
    return embedded + context.to(embedded.dtype)


def _order_zero_harmonics(cosine: Tensor, degrees: int) -> Tensor:
    """Y_l0 = √((2l + 1) / 4π) P_l(cos θ) for l below `degrees`, (T,) → (T, degrees)."""
    legendre = [torch.ones_like(cosine), cosine]
    for degree in range(1, degrees - 1):
        next_up = (2 * degree + 1) * cosine * legendre[degree] - degree * legendre[degree - 1]
        legendre.append(next_up / (degree + 1))
    scaled = [math.sqrt((2 * degree + 1) / (4 * math.pi)) * legendre[degree] for degree in range(degrees)]
    return torch.stack(scaled, dim=1)


@torch.library.custom_op("molspectra::edge_pairs", mutates_args=())
def _edge_pairs(edge_index: Tensor, num_atoms: int) -> Tensor:
    """Pairs of edges k → j and j → i with k ≠ i, of edges sorted by target: rows [which is k → j, which is j → i].

    An operator of its own, so that its output, of a size that depends on the values, compiles.
    """
    source, target = edge_index
    ends_at = torch.zeros(num_atoms, dtype=torch.int64, device=target.device)
    ends_at.scatter_add_(0, target, torch.ones_like(target))
    first = ends_at.cumsum(0) - ends_at  # of the edges that end at an atom
    candidates = ends_at[source]
    outer = torch.arange(source.shape[0], device=source.device).repeat_interleave(candidates)
    rank = torch.arange(outer.shape[0], device=source.device) - (candidates.cumsum(0) - candidates)[outer]
    inner = first[source][outer] + rank
    return torch.stack([inner, outer])[:, source[inner] != target[outer]]


@_edge_pairs.register_fake
def _(edge_index: Tensor, num_atoms: int) -> Tensor:
    pairs = torch.library.get_ctx().new_dynamic_size()
    return edge_index.new_empty(2, pairs)
