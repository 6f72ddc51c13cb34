"""Atom features of PyG's DimeNet++."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.nn.models.dimenet import DimeNetPlusPlus, OutputPPBlock
from torch_geometric.utils import scatter

from molspectra.encoders.adapters.context import add_to_embedding
from molspectra.encoders.base import Molecules
from molspectra.features import AtomFeatures
from molspectra.geometry.edge_pairs import edge_pairs
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.hook_point import HookPoint

# Å, a little less than the shortest bond, H-H of 0.74 Å: atoms that come closer count as this far apart. The Bessel
# functions of DimeNet++ are quotients by powers of the distance. Without a bound, features of atoms that strong noise
# has pushed into each other would grow a thousandfold.
_CLOSEST = 0.7


class DimeNetFeatures(nn.Module):
    """Atom embeddings of a DimeNet++ (arXiv:2011.14115), summed over its output blocks.

    Output block b of the model computes y_i = Σ_b W_b h_ib for each atom i. The messages to i are gathered and passed
    through the dense layers of the block, which makes h_ib an embedding of the atom. The features are Σ_b h_ib, as wide
    as `out_emb_channels`. An atom without neighbors receives no message: its features are a constant, whatever its
    element and context.

    The angle enters only by spherical harmonics of order 0, Legendre polynomials of its cosine. They are computed from
    the cosine, which unlike the angle has derivatives where three atoms lie on a line. The spherical Bessel functions
    of the distance lose too many digits in single precision and are computed in double precision. Atoms closer than
    0.7 Å count as 0.7 Å apart.

    Args:
        model: DimeNet++ whose parts are shared.
    """

    def __init__(self, model: DimeNetPlusPlus) -> None:
        super().__init__()
        self.cutoff, self.max_z = model.cutoff, model.emb.emb.num_embeddings - 1
        self.out_channels = model.output_blocks[0].lin_up.out_features
        self.rbf, self.sbf, self.emb, self.interactions = model.rbf, model.sbf, model.emb, model.interaction_blocks
        self.outputs = nn.ModuleList(AtomEmbedding(block) for block in model.output_blocks)

    def forward(self, molecules: Molecules, hook_point: HookPoint) -> AtomFeatures:
        """Return scalars (N, F)."""
        num_atoms = molecules.num_atoms
        with record_function("molspectra::dimenet.edges"):
            edge_index = radius_graph(molecules.pos, molecules.batch, self.cutoff)
            distance, direction = edge_geometry(molecules.pos, edge_index)
            distance = distance.clamp(min=_CLOSEST)
            inner, outer = edge_pairs(edge_index, molecules.z)
            cosine = (direction.index_select(0, inner) * direction.index_select(0, outer)).sum(dim=1)
            rbf = self.rbf(distance)
            sbf = self.spherical_basis(distance, cosine, inner)
        source, target = edge_index
        scalars = add_to_embedding(self.emb.emb(molecules.z), molecules.context)
        # A message lives on a directed edge and starts from both elements and their distance.
        ends = scalars.index_select(0, target), scalars.index_select(0, source)
        messages = self.emb.act(self.emb.lin(torch.cat([*ends, self.emb.act(self.emb.lin_rbf(rbf))], dim=1)))
        first, *others = self.outputs
        features = first(messages, rbf, target, num_atoms).to(scalars.dtype)
        for interaction, output in zip(self.interactions, others, strict=True):
            with record_function("molspectra::dimenet.interaction"):
                messages = interaction(messages, rbf, sbf, inner, outer)
                features = hook_point(features + output(messages, rbf, target, num_atoms))
        return AtomFeatures(features)

    def spherical_basis(
        self, distance: Float[Tensor, " edges"], cosine: Float[Tensor, " pairs"], inner: Int[Tensor, " pairs"]
    ) -> Float[Tensor, "pairs basis"]:
        """Return Bessel functions of the length of an edge times Legendre polynomials of its angle with the next edge.

        Equal to `model.sbf(distance, arccos(cosine), inner)`.

        Args:
            distance: Lengths of edges in Å, (E,).
            cosine: Cosines of the angles between paired edges, (T,).
            inner: Edge k → j of each pair, (T,).
        """
        scaled = distance.double() / self.cutoff
        radial = torch.stack([function(scaled) for function in self.sbf.bessel_funcs], dim=1)
        radial = (radial * self.sbf.envelope(scaled).unsqueeze(1)).to(distance.dtype)
        degrees = self.sbf.num_spherical
        radial = radial.unflatten(1, (degrees, -1)).index_select(0, inner)
        return (radial * order_zero_harmonics(cosine, degrees).unsqueeze(2)).flatten(1)


class AtomEmbedding(nn.Module):
    """Output block of DimeNet++ without its last linear map: messages (E, H) → atoms (N, F).

    Args:
        block: Output block whose parts are shared.
    """

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


def order_zero_harmonics(cosine: Float[Tensor, " pairs"], degrees: int) -> Float[Tensor, "pairs degrees"]:
    """Return Y_l0 = √((2l + 1) / 4π) P_l(cos θ) for l below `degrees`, (T, degrees)."""
    legendre = [torch.ones_like(cosine), cosine]
    for degree in range(1, degrees - 1):
        # The recurrence of Bonnet: (l + 1) P_{l+1} = (2l + 1) x P_l - l P_{l-1}.
        next_up = (2 * degree + 1) * cosine * legendre[degree] - degree * legendre[degree - 1]
        legendre.append(next_up / (degree + 1))
    scaled = [math.sqrt((2 * degree + 1) / (4 * math.pi)) * legendre[degree] for degree in range(degrees)]
    return torch.stack(scaled, dim=1)
