"""Type of an encoder, for type checkers."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from molspectra.features import AtomFeatures


@runtime_checkable
class Encoder(Protocol):
    """Any callable `(z, pos, batch) -> AtomFeatures`, of any class.

    An encoder may also take the keywords `bond_index`, `bond_order` and `context`. :func:`molspectra.methods.encode`
    passes those that its signature has.
    """

    def __call__(self, z: Tensor, pos: Tensor, batch: Tensor | None = None, /) -> AtomFeatures:
        """Compute the features of N atoms.

        Args:
            z: Atomic numbers (N,).
            pos: Positions in Å, (N, 3).
            batch: Molecule of each atom (N,), sorted; None for one molecule.
        """
