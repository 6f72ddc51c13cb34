"""Rotating parts of molecules about bonds."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from molspectra._batch import molecule_of, num_molecules_of
from molspectra._validation import values_are_free
from molspectra.geometry.rotation import rotation_matrix
from molspectra.geometry.topology import SpanningForest, bridge_of, spanning_forest


def rotate_torsions(data: Data, angles: Float[Tensor, " rotatable"]) -> Float[Tensor, "atoms 3"]:
    """Rotate about every rotatable bond of every molecule, one bond of a molecule after the other.

    Bond (a, i, j, l) = `data.rotatable_index[:, r]`: all atoms that are reached from j without passing i turn by
    `angles[r]` about the axis from i to j, as it then lies, and the torsion grows by as much. Bond lengths and bond
    angles stay what they are. Torsions about different bonds do not influence each other; their order, that of the
    list, and the side that moves only decide where in space the molecule ends up (the released Frad, arXiv:2307.10683).

    One step turns the r-th bond of all molecules, so that there are as many steps as the largest number of rotatable
    bonds in a molecule. Reading off that number makes an accelerator wait; the noises, which have no use for the
    absolute place, do without (:func:`molspectra.geometry.deform`).

    Args:
        data: A `Data` or `Batch` with `pos` and `rotatable_index` (4, R), and the spanning forest that
            `transforms.AddTopology` adds, or else `bond_index`, from which they are then found each time.
        angles: Rotations in rad, (R,), of any size.

    Returns:
        Positions (N, 3), differentiable by `data.pos` and `angles`.

    Raises:
        ValueError: `rotatable_index` is missing, does not fit the angles, or (seen on the CPU only) holds atoms that no
            bond joins, or one in a ring.

    Example:
        >>> peroxide = Data(pos=torch.tensor([[0., 1, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0]]))
        >>> peroxide.bond_index = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> peroxide.rotatable_index = torch.tensor([[0], [1], [2], [3]])
        >>> rotated = rotate_torsions(peroxide, torch.tensor([torch.pi / 2]))
        >>> torch.allclose(rotated[3], torch.tensor([1., 0, 1]), atol=1e-6)
        True
    """
    rotatable = data.get("rotatable_index")
    if rotatable is None:
        raise ValueError(
            f"data must have rotatable_index (4, R); its fields are {list(data.keys())}. Add it with "
            "molspectra.data.transforms.AddTopology()."
        )
    if angles.shape != rotatable.shape[1:]:
        raise ValueError(
            f"angles must have shape {tuple(rotatable.shape[1:])}, one for each rotatable bond; got "
            f"{tuple(angles.shape)}."
        )
    pos, angles = data.pos, angles.to(data.pos.dtype)
    parent, span, bridge = _forest(data)
    root = parent
    for _ in range((len(parent) - 1).bit_length()):
        root = root[root]
    molecule, num_molecules = molecule_of(data), num_molecules_of(data)
    _, i, j, _ = rotatable
    child, is_bridge = bridge_of(parent, bridge, i, j)
    if values_are_free(i) and not bool(is_bridge.all()):
        wrong = int((~is_bridge).nonzero()[0])
        raise ValueError(
            f"rotatable_index must hold bonds that are in no ring; column {wrong} is about atoms {int(i[wrong])} "
            f"and {int(j[wrong])}. Take it from molspectra.data.transforms.AddTopology()."
        )
    # Which of the bonds of its molecule each one is: bonds stand together by molecule, as batching puts them.
    rank = torch.arange(len(i), device=i.device) - torch.searchsorted(molecule[i], molecule[i])
    for step in range(int(rank.max()) + 1 if len(i) else 0):
        bonds = (rank == step).nonzero().squeeze(1)
        turned = torch.full((num_molecules,), -1, device=i.device)
        turned[molecule[i[bonds]]] = torch.arange(len(bonds), device=i.device)
        which = turned[molecule]
        start, end, below = i[bonds][which], j[bonds][which], child[bonds][which]
        # The side of `end` is what hangs on it; or, where `start` hangs on `end`, all but what hangs on `start`.
        hanging = (span[below, 0] <= span[:, 0]) & (span[:, 0] < span[below, 1])
        moves = (which >= 0) & torch.where(below == end, hanging, ~hanging & (root == root[end]))
        turn = rotation_matrix(pos[j[bonds]] - pos[i[bonds]], angles[bonds])
        origin = pos[start]
        # Not a matrix product, which autocast would round.
        rotated = origin + (turn[which] * (pos - origin).unsqueeze(1)).sum(2)
        pos = torch.where(moves.unsqueeze(1), rotated, pos)
    return pos


def _forest(data: Data) -> SpanningForest:
    """A spanning forest, as stored or newly found."""
    if all(field in data for field in ("parent_index", "tree_span", "bridge")):
        return SpanningForest(data.parent_index, data.tree_span, data.bridge)
    if "bond_index" not in data:
        raise ValueError(
            f"data must have bond_index (2, B), to tell what moves; its fields are {list(data.keys())}. Set the bonds, "
            "and add the rest with molspectra.data.transforms.AddTopology()."
        )
    forest = spanning_forest(data.bond_index.cpu(), data.pos.shape[0])
    return SpanningForest(*(part.to(data.pos.device) for part in forest))
