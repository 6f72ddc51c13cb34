"""Base of the encoders: call form, checks, context and neighbors, written once."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.profiler import record_function

from molspectra._config import Configurable
from molspectra._validation import check_context, check_dtype, check_molecules, check_tensor, needs
from molspectra.features import AtomFeatures
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.hook_point import HookPoint


class Molecules(NamedTuple):
    """Checked arguments of an encoder."""

    z: Int[Tensor, " atoms"]
    """Atomic numbers."""
    pos: Float[Tensor, "atoms 3"]
    """Positions in Å, in the dtype of the weights."""
    batch: Int[Tensor, " atoms"] | None
    """Molecule of each atom, or None for one molecule."""
    bond_index: Int[Tensor, "2 bonds"] | None
    """Bonds, if given."""
    bond_order: Float[Tensor, " bonds"] | None
    """Orders of the bonds, if given."""
    context: Float[Tensor, "atoms channels"] | None
    """Conditioning of the scalars, if given."""
    vector_context: AtomFeatures | None = None
    """Conditioning of vectors and tensors too, if given."""

    @property
    def num_atoms(self) -> int:
        """Number of atoms N."""
        return self.z.shape[0]

    @property
    def batch_or_zeros(self) -> Int[Tensor, " atoms"]:
        """Molecule of each atom (N,), also where the batch is one molecule without `batch`."""
        return torch.zeros_like(self.z) if self.batch is None else self.batch

    def add_context(self, scalars: Float[Tensor, "atoms channels"]) -> Float[Tensor, "atoms channels"]:
        """Add the context, if given, to the initial scalars (N, F)."""
        if self.context is None:
            return scalars
        check_context(self.context, scalars.shape)
        return scalars + self.context.to(scalars.dtype)

    def initial_vectors(self, scalars: Float[Tensor, "atoms channels"]) -> Float[Tensor, "atoms 3 channels"]:
        """Return the vectors of the context, if given, or zeros, beside the initial scalars (N, F)."""
        vectors = None if self.vector_context is None else self.vector_context.vectors
        shape = (scalars.shape[0], 3, scalars.shape[1])
        if vectors is None:
            return scalars.new_zeros(shape)
        self.check_degrees(1)
        if vectors.shape != shape:
            raise ValueError(f"context must have vectors of shape {shape}, (N, 3, F); got {tuple(vectors.shape)}.")
        return vectors.to(scalars.dtype)

    def check_degrees(self, l_max: int) -> None:
        """Check that the context has no degrees beyond those of the encoder, which would not read them.

        Raises:
            ValueError: It has.
        """
        if self.vector_context is not None and self.vector_context.l_max > l_max:
            raise ValueError(
                f"context must have degrees up to {l_max}, as the encoder has; got {self.vector_context.l_max}. Make "
                f"what computes the context with l_max={l_max}, or use an encoder with more degrees."
            )


@dataclass(frozen=True, eq=False)
class Edges:
    """Ordered pairs of neighbors and their geometry."""

    index: Int[Tensor, "2 edges"]
    """Rows [source, target]."""
    distance: Float[Tensor, " edges"]
    """Å."""
    direction: Float[Tensor, "edges 3"]
    """Unit vector from target to source, 0 for coincident atoms."""


class BaseEncoder(Configurable, nn.Module):
    """Base class of encoders, in which `forward` checks the molecules and `encode` computes their features.

    An encoder implements :meth:`encode`, finds neighbors by :meth:`edges`, and calls `hook_point` on its scalars after
    each layer, so that these can be read. Inheriting is a convenience: any callable is an encoder (:class:`.Encoder`).

    Args:
        out_channels: Width F of the features.
        cutoff: r_c in Å, infinite for an encoder without a cutoff.
        max_z: Largest atomic number in the embedding tables.

    Raises:
        ValueError: `max_z` is out of 1..118.

    Example:
        >>> class ElementEmbedding(BaseEncoder):
        ...     def __init__(self, channels=8):
        ...         super().__init__(out_channels=channels, cutoff=0.0, max_z=100)
        ...         self.embedding = torch.nn.Embedding(101, channels)
        ...
        ...     def encode(self, molecules):
        ...         return ms.encoders.AtomFeatures(molecules.add_context(self.embedding(molecules.z)))
        >>> ElementEmbedding()(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        AtomFeatures(...
    """

    needs_bonds: bool = False
    """True if the encoder raises an error without `bond_index`."""
    takes_vector_context: bool = False
    """True if the context may hold vectors, as the encoding of forces does."""

    def __init__(self, out_channels: int, cutoff: float, max_z: int) -> None:
        super().__init__()
        if not 1 <= max_z <= 118:
            raise ValueError(f"max_z must lie in 1..118; got {max_z}.")
        self.out_channels = out_channels
        self.cutoff = cutoff
        self.max_z = max_z
        self.hook_point = HookPoint()

    @needs("z", "pos", form="encoder(batch.z, batch.pos, batch.batch), or molspectra.methods.encode(encoder, batch)")
    def forward(
        self,
        z: Int[Tensor, " atoms"],
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        *,
        bond_index: Int[Tensor, "2 bonds"] | None = None,
        bond_order: Float[Tensor, " bonds"] | None = None,
        context: Float[Tensor, "atoms channels"] | AtomFeatures | None = None,
    ) -> AtomFeatures:
        """Encode a batch of molecules.

        Args:
            z: Atomic numbers (N,), 1..max_z.
            pos: Positions in Å, (N, 3).
            batch: Molecule of each atom (N,), sorted; None for one molecule.
            bond_index: Bonds (2, B), each once or in both directions. Encoders that see distances only ignore them.
            bond_order: Orders of the bonds (B,), for encoders that read them.
            context: Conditioning (N, F), added to the initial scalars. Encoders with `takes_vector_context` also take
                `AtomFeatures`, whose vectors (and tensors) are added to their own.

        Returns:
            Scalars (N, F) and, if the encoder has them, vectors (N, 3, F) and tensors (N, 2l + 1, F).

        Raises:
            ValueError: A shape or value is wrong (see :func:`molspectra.data.validate`), or bonds are missing. Values
                are checked for CPU tensors only.
            TypeError: `pos` has another dtype than the weights.
        """
        with record_function("molspectra::encoder.check"):
            molecules = self.check(z, pos, batch, bond_index=bond_index, bond_order=bond_order, context=context)
        return self.encode(molecules)

    @abstractmethod
    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute the features of checked molecules."""

    def check(
        self,
        z: Tensor,
        pos: Tensor,
        batch: Tensor | None,
        *,
        bond_index: Tensor | None = None,
        bond_order: Tensor | None = None,
        context: Tensor | AtomFeatures | None = None,
    ) -> Molecules:
        """Check the arguments of :meth:`forward`, which states the errors, and cast positions to the weights' dtype."""
        check_molecules(z, pos, batch, self.max_z)
        vector_context = None
        if isinstance(context, AtomFeatures):
            if not self.takes_vector_context:
                raise TypeError(
                    f"context must be a tensor (N, F) for {type(self).__name__}, which takes no vectors in it; got "
                    "AtomFeatures. Pass context.scalars, or use an encoder with takes_vector_context."
                )
            vector_context, context = context, context.scalars
        for name, value in (("bond_index", bond_index), ("bond_order", bond_order), ("context", context)):
            if value is not None:
                check_tensor(name, value)
        weight = next(self.parameters(), None)
        if weight is not None:
            check_dtype("pos", pos, weight)
            # Autocast may have lowered the precision of positions, but geometry needs all of it.
            pos = pos.to(weight.dtype)
        return Molecules(z, pos, batch, bond_index, bond_order, context, vector_context)

    def edges(self, molecules: Molecules, loop: bool = False) -> Edges:
        """Find all ordered pairs of atoms within the cutoff, and with `loop` each atom with itself."""
        with record_function("molspectra::encoder.edges"):
            index = radius_graph(molecules.pos, molecules.batch, self.cutoff, loop=loop)
            return Edges(index, *edge_geometry(molecules.pos, index))
