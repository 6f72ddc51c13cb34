"""Rotation of parts of molecules about bonds."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from molspectra._batch import molecule_of, num_molecules_of
from molspectra._validation import check_fields, check_tensor, values_are_free
from molspectra.geometry.rotation import rotation_matrix
from molspectra.geometry.topology import SpanningForest, bridge_of, spanning_forest


def rotate_torsions(data: Data, angles: Float[Tensor, " rotatable"]) -> Float[Tensor, "atoms 3"]:
    """Rotate about every rotatable bond of every molecule, one bond of a molecule after the other.

    For the bond (a, i, j, l) = `data.rotatable_index[:, r]`, all atoms reached from j without passing i turn by
    `angles[r]` about the current axis from i to j, and the torsion grows by this angle. Bond lengths and bond angles do
    not change. Torsions about different bonds are independent. Their order and the side that moves only decide where
    in space the molecule ends up, which follows the released Frad (arXiv:2307.10683).

    Step r turns the r-th bond of all molecules, so that the number of steps is the largest number of rotatable bonds of
    a molecule. The host waits for the device to read it. The noises, for which the position in space does not matter,
    use :func:`molspectra.geometry.deform` instead, without waiting.

    Args:
        data: A `Data` or `Batch` with `pos` and `rotatable_index` (4, R), and with the spanning forest of
            `transforms.AddTopology` or, to rebuild it in every call, `bond_index`.
        angles: Rotations in rad, (R,), of any size.

    Returns:
        Positions (N, 3), differentiable with respect to `data.pos` and `angles`.

    Raises:
        ValueError: `rotatable_index` is missing, does not fit the angles, or (checked for CPU tensors) contains a pair
            of atoms that is no bond, or a bond in a ring.

    Example:
        >>> peroxide = Data(pos=torch.tensor([[0., 1, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0]]))
        >>> peroxide.bond_index = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> peroxide.rotatable_index = torch.tensor([[0], [1], [2], [3]])
        >>> rotated = rotate_torsions(peroxide, torch.tensor([torch.pi / 2]))
        >>> torch.allclose(rotated[3], torch.tensor([1., 0, 1]), atol=1e-6)
        True
    """
    check_fields(data, (), "rotate_torsions", "")
    check_tensor("angles", angles)
    rotatable = data.get("rotatable_index")
    if rotatable is None:
        raise ValueError(
            f"data must have rotatable_index (4, R); its fields are {list(data.keys())}. Add it with "
            "molspectra.data.transforms.AddTopology()."
        )
    if angles.shape != rotatable.shape[1:]:
        raise ValueError(
            f"angles must have shape {tuple(rotatable.shape[1:])}, one per rotatable bond; got {tuple(angles.shape)}. "
            "Pass angles in the order of data.rotatable_index."
        )
    pos, angles = data.pos, angles.to(data.pos.dtype)
    parent, span, bridge = _forest(data)
    # Follow parents to the root, which tells fragments of a molecule apart, by pointer doubling.
    root = parent
    for _ in range((len(parent) - 1).bit_length()):
        root = root[root]
    molecule, num_molecules = molecule_of(data), num_molecules_of(data)
    _, i, j, _ = rotatable
    child, is_bridge = bridge_of(parent, bridge, i, j)
    if values_are_free(i) and not bool(is_bridge.all()):
        wrong = int((~is_bridge).nonzero()[0])
        raise ValueError(
            f"rotatable_index must contain bonds that are in no ring; got atoms {int(i[wrong])} and {int(j[wrong])} in "
            f"column {wrong}. Take it from molspectra.data.transforms.AddTopology()."
        )
    # Number of each bond within its molecule. Batching keeps the bonds of a molecule together.
    rank = torch.arange(len(i), device=i.device) - torch.searchsorted(molecule[i], molecule[i])
    for step in range(int(rank.max()) + 1 if len(i) else 0):
        # At most one bond per molecule turns in this step: look it up for every atom by its molecule.
        bonds = (rank == step).nonzero().squeeze(1)
        turned = torch.full((num_molecules,), -1, device=i.device)
        turned[molecule[i[bonds]]] = torch.arange(len(bonds), device=i.device)
        which = turned[molecule]
        start, end, below = i[bonds][which], j[bonds][which], child[bonds][which]
        # The side of `end` is its subtree or, where `end` is the parent of `start`, all except the subtree of `start`.
        hanging = (span[below, 0] <= span[:, 0]) & (span[:, 0] < span[below, 1])
        moves = (which >= 0) & torch.where(below == end, hanging, ~hanging & (root == root[end]))
        turn = rotation_matrix(pos[j[bonds]] - pos[i[bonds]], angles[bonds])
        origin = pos[start]
        # A sum of products rather than a matrix product, which autocast would round to half precision.
        rotated = origin + (turn[which] * (pos - origin).unsqueeze(1)).sum(2)
        pos = torch.where(moves.unsqueeze(1), rotated, pos)
    return pos


def _forest(data: Data) -> SpanningForest:
    """Return the stored spanning forest, or build it from the bonds."""
    if all(field in data for field in ("parent_index", "tree_span", "bridge")):
        return SpanningForest(data.parent_index, data.tree_span, data.bridge)
    if "bond_index" not in data:
        raise ValueError(
            f"data must have bond_index (2, B), to tell which atoms move; its fields are {list(data.keys())}. Set the "
            "bonds, and add the other fields with molspectra.data.transforms.AddTopology()."
        )
    forest = spanning_forest(data.bond_index.cpu(), data.pos.shape[0])
    return SpanningForest(*(part.to(data.pos.device) for part in forest))
