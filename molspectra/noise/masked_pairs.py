"""Pairs of a remaining atom and the vacated position near it, of which EMPP predicts the displacement."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from molspectra._batch import molecule_of
from molspectra._repr import fields_repr
from molspectra._validation import check_fields


class MaskedPairs(NamedTuple):
    """Remaining atoms near a vacated position, each with the displacement to it."""

    atom: Int[Tensor, " pairs"]
    """Row of the remaining atom, (E,), ascending."""
    molecule: Int[Tensor, " pairs"]
    """Molecule of the remaining atom, (E,)."""
    displacement: Float[Tensor, "pairs 3"]
    """Vector from the remaining atom to the position of the removed atom, in Å, (E, 3)."""

    def __repr__(self) -> str:
        return fields_repr(self)


def masked_pairs(data: Data, cutoff: float) -> MaskedPairs:
    """Find the atoms closer than a cutoff to the position of the atom removed from their molecule.

    Args:
        data: Molecules from :class:`~molspectra.noise.AtomMask`, single or collated afterwards.
        cutoff: Distance in Å, exclusive. The published value is 5 Å.

    Returns:
        Each atom at most once, sorted. A molecule without atoms within the cutoff has no pair.

    Raises:
        ValueError: `cutoff` is not positive, or the data has not been masked.

    Example:
        >>> water = Data(z=torch.tensor([8, 1, 1]), pos=torch.tensor([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))
        >>> masked = ms.noise.AtomMask().mask(water, torch.tensor([1]))
        >>> ms.noise.masked_pairs(masked, cutoff=1.0).displacement
        tensor([[0.9600, 0.0000, 0.0000]])
    """
    check_fields(data, (), "masked_pairs", "")
    if not cutoff > 0:
        raise ValueError(f"cutoff must be positive (Å); got {cutoff}.")
    check_fields(data, ("masked_pos",), "masked_pairs", "Mask the molecules first, with molspectra.noise.AtomMask.")
    molecule = molecule_of(data)
    displacement = data.masked_pos.index_select(0, molecule) - data.pos
    # Negated rather than `<`: an atom at NaN must keep its pair and show in the loss, not vanish from it.
    near = ~(displacement.square().sum(dim=1) >= cutoff * cutoff)
    atom = near.nonzero().squeeze(1)
    return MaskedPairs(atom, molecule.index_select(0, atom), displacement.index_select(0, atom))
