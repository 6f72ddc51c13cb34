"""What every encoder returns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils import _pytree
from torch_geometric.utils import scatter


@dataclass(frozen=True, eq=False)  # == of tensors has no truth value
class AtomFeatures:
    """Features of each atom, by degree: how they turn with the molecule. Every degree has the same F channels.

    Unpacks as the pair that nearly every encoder gives: `scalars, vectors = encoder(z, pos, batch)`.
    """

    scalars: Float[Tensor, "atoms channels"]
    """Invariant features, (N, F)."""
    vectors: Float[Tensor, "atoms 3 channels"] | None = None
    """Equivariant features in Cartesian x, y, z, (N, 3, F), or None."""
    tensors: tuple[Float[Tensor, "atoms _ channels"], ...] = ()
    """Features of degrees 2, 3, …, (N, 2l + 1, F) each, components in e3nn's order, parity (-1)^l; mostly none."""

    def __post_init__(self) -> None:
        if self.vectors is None and self.tensors:
            raise ValueError("tensors, degrees 2, 3, …, need vectors, degree 1, as well; got vectors=None.")

    def __iter__(self) -> Iterator[Tensor | None]:
        return iter((self.scalars, self.vectors))

    @property
    def l_max(self) -> int:
        """The highest degree there is: 0 of scalars alone, 1 with vectors."""
        return 0 if self.vectors is None else 1 + len(self.tensors)

    @property
    def irreps(self) -> o3.Irreps:
        """What e3nn calls the features of :meth:`to_irreps`, as in 32x0e+32x1o+32x2e."""
        channels = self.scalars.shape[1]
        return o3.Irreps([(channels, (degree, (-1) ** degree)) for degree in range(self.l_max + 1)])

    def degree(self, degree: int) -> Float[Tensor, "atoms components channels"]:
        """The features of one degree l, (N, 2l + 1, F).

        Raises:
            ValueError: there are none of this degree.
        """
        if not 0 <= degree <= self.l_max:
            raise ValueError(f"These features have degrees 0 to {self.l_max}; asked for degree {degree}.")
        if degree == 0:
            return self.scalars.unsqueeze(1)
        return self.vectors if degree == 1 else self.tensors[degree - 2]  # type: ignore[return-value]

    def to_irreps(self) -> Float[Tensor, "atoms dim"]:
        """All degrees side by side in e3nn's layout, channel by channel: (N, F (l_max + 1)²), of type `irreps`."""
        degrees = (self.degree(degree) for degree in range(self.l_max + 1))
        return torch.cat([features.transpose(1, 2).flatten(1) for features in degrees], dim=1)

    @classmethod
    def from_irreps(cls, irreps: o3.Irreps | str, features: Float[Tensor, "atoms dim"]) -> "AtomFeatures":
        """Take e3nn's layout apart.

        Args:
            irreps: F channels of each degree, once and in order, as in "32x0e+32x1o+32x2e"; the parity is not looked at
                (networks without reflections call vectors 1e).
            features: (N, irreps.dim).

        Raises:
            ValueError: degrees are missing, out of order or of different widths, or `features` is not as wide.

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
        """The same, with vectors of 0 where there are none: what a scalar is read from need not have any."""
        if self.vectors is not None:
            return self
        atoms, channels = self.scalars.shape
        return AtomFeatures(self.scalars, self.scalars.new_zeros(atoms, 3, channels))

    def select(self, index: Int[Tensor, " selected"]) -> "AtomFeatures":
        """The features of some atoms, in the order of `index` (E,)."""
        return AtomFeatures(
            self.scalars.index_select(0, index),
            None if self.vectors is None else self.vectors.index_select(0, index),
            tuple(tensor.index_select(0, index) for tensor in self.tensors),
        )

    def pool(
        self,
        batch: Int[Tensor, " atoms"] | None,
        reduce: Literal["sum", "mean"] = "sum",
        num_molecules: int | None = None,
    ) -> Float[Tensor, "molecules channels"]:
        """Sum or average the scalars over the atoms of each molecule.

        Args:
            batch: Molecule of each atom, (N,); None for one molecule.
            reduce: "sum" or "mean".
            num_molecules: Number of molecules, if known; otherwise it is read off `batch`, which waits for the device.

        Returns:
            Molecule features (B, F).
        """
        if reduce not in ("sum", "mean"):
            raise ValueError(f'reduce must be "sum" or "mean"; got {reduce!r}.')
        if batch is None:
            pooled = self.scalars.sum(dim=0, keepdim=True)
            return pooled / self.scalars.shape[0] if reduce == "mean" else pooled
        return scatter(self.scalars, batch, dim=0, dim_size=num_molecules, reduce=reduce)


# What wraps modules (DistributedDataParallel, FSDP, torch.compile) looks for tensors in their output.
_pytree.register_pytree_node(
    AtomFeatures,
    lambda atoms: ([atoms.scalars, atoms.vectors, atoms.tensors], None),
    lambda children, _: AtomFeatures(*children),
)
