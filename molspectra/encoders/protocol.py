"""Type of an encoder, for type checkers."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from molspectra.features import AtomFeatures


@runtime_checkable
class Encoder(Protocol):
    """Any callable `(z, pos, batch) -> AtomFeatures`: a module, a function or an object with `__call__`.

    An encoder may also take the keywords `bond_index`, `bond_order` and `context`. :func:`molspectra.methods.encode`
    passes those that its signature has.
    """

    def __call__(
        self, z: Int[Tensor, " atoms"], pos: Float[Tensor, "atoms 3"], batch: Int[Tensor, " atoms"] | None = None, /
    ) -> AtomFeatures:
        """Compute the features of N atoms.

        Args:
            z: Atomic numbers (N,).
            pos: Positions in Å, (N, 3).
            batch: Molecule of each atom (N,), sorted, or None for one molecule.
        """
