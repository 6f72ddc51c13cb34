"""Atom features, which every encoder returns, and their pooling to molecules."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils import _pytree
from torch_geometric.utils import scatter

from molspectra._repr import fields_repr
from molspectra._validation import check_channels, check_choice


@dataclass(
    eq=False, repr=False
)  # == of tensors has no truth value. Not frozen: Lightning's Fabric sets fields of a copy
class AtomFeatures:
    """Features of N atoms by degree l, where features of degree l transform like Y_l when the molecule rotates.

    Every degree has the same F channels. The object unpacks as `scalars, vectors = encoder(z, pos, batch)`.
    """

    scalars: Float[Tensor, "atoms channels"]
    """Degree 0, (N, F): invariant under rotation, reflection and translation."""
    vectors: Float[Tensor, "atoms 3 channels"] | None = None
    """Degree 1, (N, 3, F): Cartesian x, y, z, which rotate with the molecule. None if the encoder has no vectors."""
    tensors: tuple[Float[Tensor, "atoms _ channels"], ...] = ()
    """Degrees 2, 3, …, (N, 2l + 1, F) each: components in e3nn's order, with parity (-1)^l. Empty for most encoders."""

    def __repr__(self) -> str:
        return fields_repr(self)

    def __post_init__(self) -> None:
        if self.vectors is None and self.tensors:
            raise ValueError(
                "tensors (degrees 2, 3, …) need vectors (degree 1) as well; got vectors=None. Pass vectors (N, 3, F)."
            )

    def __iter__(self) -> Iterator[Tensor | None]:
        return iter((self.scalars, self.vectors))

    @property
    def l_max(self) -> int:
        """Highest degree: 0 without vectors, 1 with vectors, more with tensors."""
        return 0 if self.vectors is None else 1 + len(self.tensors)

    @property
    def irreps(self) -> o3.Irreps:
        """Type of the features of :meth:`to_irreps` in e3nn's terms, such as 32x0e+32x1o+32x2e."""
        channels = self.scalars.shape[1]
        return o3.Irreps([(channels, (degree, (-1) ** degree)) for degree in range(self.l_max + 1)])

    def degree(self, degree: int) -> Float[Tensor, "atoms components channels"]:
        """Return the features of one degree l, (N, 2l + 1, F).

        Raises:
            ValueError: The features have no such degree.
        """
        if not 0 <= degree <= self.l_max:
            raise ValueError(f"These features have degrees 0 to {self.l_max}; asked for degree {degree}.")
        if degree == 0:
            return self.scalars.unsqueeze(1)
        return self.vectors if degree == 1 else self.tensors[degree - 2]  # type: ignore[return-value]

    def to_irreps(self) -> Float[Tensor, "atoms dim"]:
        """Concatenate all degrees in e3nn's layout, channel by channel: (N, F (l_max + 1)²), of type `irreps`."""
        degrees = (self.degree(degree) for degree in range(self.l_max + 1))
        return torch.cat([features.transpose(1, 2).flatten(1) for features in degrees], dim=1)

    @classmethod
    def from_irreps(cls, irreps: o3.Irreps | str, features: Float[Tensor, "atoms dim"]) -> "AtomFeatures":
        """Split features in e3nn's layout by degree.

        Args:
            irreps: F channels of each degree, once and in order, such as "32x0e+32x1o+32x2e". The parity is ignored, as
                networks without reflections call vectors 1e.
            features: Features in e3nn's layout, (N, irreps.dim).

        Raises:
            ValueError: Degrees are missing, out of order or of different widths, or `features` has another width.

        Example:
            >>> AtomFeatures.from_irreps("4x0e+4x1o", torch.randn(5, 16)).vectors.shape
            torch.Size([5, 3, 4])
        """
        irreps = o3.Irreps(irreps)
        if features.shape[1] != irreps.dim:
            raise ValueError(f"features must have {irreps.dim} columns for {irreps}; got {features.shape[1]}.")
        widths, degrees = [part.mul for part in irreps], [part.ir.l for part in irreps]
        if degrees != list(range(len(degrees))) or len(set(widths)) != 1:
            raise ValueError(
                f"irreps must have one width and the degrees 0, 1, 2, … once each; got {irreps}. Select, sort and "
                "project the features first (e3nn.o3.Linear)."
            )
        split = features.split([part.dim for part in irreps], dim=1)
        scalars, *others = (
            block.unflatten(1, (part.mul, part.ir.dim)).transpose(1, 2)
            for block, part in zip(split, irreps, strict=True)
        )
        return cls(scalars.squeeze(1), others[0] if others else None, tuple(others[1:]))

    def with_vectors(self) -> "AtomFeatures":
        """Return the features with vectors of 0 if they have none, for a readout of scalars that expects vectors."""
        if self.vectors is not None:
            return self
        atoms, channels = self.scalars.shape
        return AtomFeatures(self.scalars, self.scalars.new_zeros(atoms, 3, channels))

    def select(self, index: Int[Tensor, " selected"]) -> "AtomFeatures":
        """Return the features of the atoms `index` (E,), in that order."""
        return AtomFeatures(
            self.scalars.index_select(0, index),
            None if self.vectors is None else self.vectors.index_select(0, index),
            tuple(tensor.index_select(0, index) for tensor in self.tensors),
        )

    def pool(
        self,
        batch: Int[Tensor, " atoms"] | None,
        reduce: Literal["sum", "mean", "max"] = "sum",
        num_molecules: int | None = None,
    ) -> Float[Tensor, "molecules channels"]:
        """Sum or average the scalars over the atoms of each molecule, or take their maximum.

        Args:
            batch: Molecule of each atom, (N,). None for one molecule.
            reduce: "sum", "mean" or "max".
            num_molecules: Number of molecules, if known. Default: read from `batch`, which waits for the device.

        Returns:
            Molecule features (B, F).

        Raises:
            ValueError: `reduce` is none of these.
        """
        check_choice("reduce", reduce, ("sum", "mean", "max"))
        if batch is None:
            if reduce == "max":
                return self.scalars.amax(dim=0, keepdim=True)
            pooled = self.scalars.sum(dim=0, keepdim=True)
            return pooled / self.scalars.shape[0] if reduce == "mean" else pooled
        return scatter(self.scalars, batch, dim=0, dim_size=num_molecules, reduce=reduce)


def check_atoms(user: str, atoms: AtomFeatures, channels: int | None = None) -> None:
    """Check that a head got atom features, of the width that it was made for.

    Raises:
        TypeError: `atoms` are something else, such as a tensor or a batch of molecules.
        ValueError: They have another width.
    """
    scalars = getattr(atoms, "scalars", None)
    if not isinstance(scalars, Tensor):
        raise TypeError(
            f"atoms of {user} must be AtomFeatures, as encoders return them; got {_received(atoms, scalars)}. Call "
            "head(encoder(batch.z, batch.pos, batch.batch), batch), or make AtomFeatures(scalars, vectors) of tensors."
        )
    if channels is not None:
        check_channels(user, scalars.shape[1], channels)


def _received(atoms: object, scalars: object) -> str:
    if scalars is not None:
        return f"{type(atoms).__name__} with scalars of type {type(scalars).__name__}"
    return "None" if atoms is None else f"a {type(atoms).__name__}"


# DistributedDataParallel, FSDP and torch.compile look for tensors in the output of a module. They find those of
# registered classes only. torch.export saves a program that returns one under the name given here.
_pytree.register_pytree_node(
    AtomFeatures,
    lambda atoms: ([atoms.scalars, atoms.vectors, atoms.tensors], None),
    lambda children, _: AtomFeatures(*children),
    serialized_type_name="molspectra.AtomFeatures",
)
