"""Bonds for molecules that come without: from the edges of a PyG data set, or guessed from positions.

Bonds are best kept from where the molecule was made (:func:`molspectra.data.from_smiles` and `from_rdkit` do). What is
read off positions is a guess, and every function here that guesses says so in a warning.
"""

import operator
import warnings
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64, Shaped
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import check_molecules
from molspectra.data.molecule import validate

# Covalent radii of Cordero et al. (2008), doi:10.1039/b801115j, table 2, in pm, H to Cm, a line a period. Carbon: sp3;
# Mn, Fe, Co: low spin.
_RADII_PM = """
    31 28
    128 96 84 76 71 66 57 58
    166 141 121 111 107 105 102 106
    203 176 170 160 153 139 139 132 126 124 132 122 122 120 119 120 120 116
    220 195 190 175 164 154 147 146 142 139 145 144 142 139 139 138 139 140
    244 215 207 204 203 201 199 198 198 196 194 192 192 189 190 187 187
        175 170 162 151 144 141 136 136 132 145 146 148 140 150 150
    260 221 215 206 200 196 190 187 180 169
"""
_RADII = torch.tensor([0.0, *(float(radius) / 100 for radius in _RADII_PM.split())], dtype=torch.float64)
_NOBLE_GASES = torch.tensor(list(accumulate((2, 8, 8, 18, 18, 32))))
_COINCIDENT = 0.1  # Å

# Atomic number → radii in single, double and triple bonds, Å (Pyykkö and Atsumi 2009, Chem. Eur. J. 15, 186 and 12770;
# triple: Pyykkö, Riedel and Patzschke 2005, Chem. Eur. J. 11, 3511), and usual valence. Elements that are not here,
# hydrogen and the halogens among them, form single bonds.
_MULTIPLE_BONDS = {
    5: ((0.85, 0.78, 0.73), 3),
    6: ((0.75, 0.67, 0.60), 4),
    7: ((0.71, 0.60, 0.54), 3),
    8: ((0.63, 0.57, 0.53), 2),
    14: ((1.16, 1.07, 1.02), 4),
    15: ((1.11, 1.02, 0.94), 5),
    16: ((1.03, 0.94, 0.95), 6),
    34: ((1.16, 1.07, 1.07), 6),
}

# RDKit's search grows exponentially with the atoms that may be charged, and goes on for hours if no one stops it; what
# it finds, it mostly finds within a hundred steps. This many take about a second.
_RDKIT_STEPS = 100_000

_REMEDY = (
    "Where the bonds are known, set bond_index and bond_order yourself, or build the molecule with "
    "molspectra.data.from_smiles or from_rdkit."
)


def bonds_from_edges(
    edge_index: Int64[Tensor, "2 edges"], edge_attr: Shaped[Tensor, "edges *types"]
) -> tuple[Int64[Tensor, "2 bonds"], Float32[Tensor, " bonds"]]:
    """Each bond once, from the edges of a PyG graph that lists both directions, as `torch_geometric.datasets.QM9` does.

    Args:
        edge_index: Edges (i, j), (2, E), in any order; one direction of each bond is enough.
        edge_attr: Types of the bonds, (E, ≥ 4), whose first four columns are a one-hot of single, double, triple,
            aromatic; or their orders, (E,): 1, 1.5 (aromatic), 2 or 3.

    Returns:
        `bond_index` (2, B), i < j, sorted by (i, j), and `bond_order` (B,) float32.

    Raises:
        TypeError: `edge_index` is not int64.
        ValueError: shapes do not fit, an edge is no one-hot or no order or joins an atom to itself, or two edges
            contradict each other.

    Example:
        >>> edge_index = torch.tensor([[0, 2, 0, 1], [2, 0, 1, 0]])  # of C, O, H
        >>> bonds_from_edges(edge_index, torch.tensor([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]))
        (tensor([[0, 0],
                [1, 2]]), tensor([2., 1.]))
    """
    if edge_index.dtype != torch.int64:
        raise TypeError(f"edge_index must be int64; got {edge_index.dtype}. Convert with edge_index.long().")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(
            f"edge_index must have shape (2, E), atoms i and j of each edge; got {tuple(edge_index.shape)}. For rows "
            "of pairs use edge_index.t()."
        )
    order = _edge_orders(edge_attr, edge_index.shape[1])
    low, high = edge_index.sort(dim=0).values
    if bool((low == high).any()):
        edge = int((low == high).nonzero()[0])
        raise ValueError(
            f"edge_index must join two different atoms; edge {edge} is {tuple(edge_index[:, edge].tolist())}. Take "
            "self-loops out with torch_geometric.utils.remove_self_loops(edge_index, edge_attr)."
        )
    bond_index, bond = torch.unique(torch.stack([low, high]), dim=1, return_inverse=True)
    bond_order = order.new_zeros(bond_index.shape[1]).scatter_reduce(0, bond, order, "amax")
    contradictory = bond_order[bond] != order
    if bool(contradictory.any()):
        edge = int(contradictory.nonzero()[0])
        raise ValueError(
            f"edge_attr must give all edges of a bond one order; edge {edge} = {tuple(edge_index[:, edge].tolist())} "
            f"has {float(order[edge])}, another edge of these two atoms {float(bond_order[bond[edge]])}. Keep the "
            "right one."
        )
    return bond_index, bond_order


def perceive_bonds(
    z: Int64[Tensor, " atoms"],
    pos: Float[Tensor, "atoms 3"],
    charge: int = 0,
    tolerance: float = 0.4,
) -> tuple[Int64[Tensor, "2 bonds"], Float32[Tensor, " bonds"]]:
    """Guess the bonds of one molecule from its positions; always warns, once, of what was guessed.

    Atoms are bonded when they are closer than the sum of their covalent radii (Cordero et al. 2008,
    doi:10.1039/b801115j) plus a tolerance, and not within 0.1 Å, which is no geometry. A hydrogen keeps its nearest
    neighbour only; noble gases form no bonds. Metal ions in contact with their counter-ions come out bonded, and so
    may atoms that are squeezed together. For the orders see :func:`perceive_bond_orders`.

    Args:
        z: Atomic numbers, (N,), 1 to 96.
        pos: Positions in Å, (N, 3).
        charge: Total charge of the molecule, e.
        tolerance: Å.

    Returns:
        `bond_index` (2, B), i < j, sorted by (i, j), and `bond_order` (B,) float32. No bonds is a legal result.

    Raises:
        TypeError: a dtype is wrong, or the charge is not an integer.
        ValueError: a shape is wrong, atoms are missing or not finite, an element has no radius, or the tolerance is
            negative.

    Warns:
        UserWarning: always; says how many bonds were found, where the orders come from and which charge was assumed.

    Example:
        >>> z, pos = torch.tensor([8, 6, 8]), torch.tensor([[1.16, 0, 0], [0, 0, 0], [-1.16, 0, 0]])
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     perceive_bonds(z, pos)
        (tensor([[0, 1],
                [1, 2]]), tensor([2., 2.]))
    """
    check_molecules(z, pos, batch=None, values=True)
    charge = _checked_charge(charge)
    if tolerance < 0:
        raise ValueError(f"tolerance must be 0 or above (Å); got {tolerance}. Bonds scatter about the sum of radii.")
    bond_index = _close_pairs(z.cpu(), pos.detach().cpu().double(), tolerance)
    bond_order, how = _guess_orders(z.cpu(), pos.detach().cpu().double(), bond_index, charge)
    warnings.warn(
        f"Guessed {bond_index.shape[1]} bonds of {len(z)} atoms from distances (covalent radii + {tolerance} Å); "
        f"source of their orders: {how}; total charge assumed: {charge}. {_REMEDY}",
        UserWarning,
        stacklevel=2,
    )
    return bond_index.to(z.device), bond_order.to(z.device)


def perceive_bond_orders(
    z: Int64[Tensor, " atoms"],
    pos: Float[Tensor, "atoms 3"],
    bond_index: Int64[Tensor, "2 bonds"],
    charge: int = 0,
) -> tuple[Float32[Tensor, " bonds"], str]:
    """Guess the orders of the known bonds of one molecule; always warns, once, of what was guessed.

    RDKit, where it is installed, finds the double and triple bonds that give all atoms their valences and the molecule
    its charge (`rdDetermineBonds.DetermineBondOrders`); aromatic bonds then have order 1.5, as in
    :func:`molspectra.data.from_rdkit`. It looks at bonds and charge, not at lengths, and fails where one of them is
    wrong, for radicals, most metals and lone ions, and for a few molecules more (trinitrotoluene).

    In all these cases bond lengths decide: the order of the nearest sum of radii for single, double and triple bonds
    (Pyykkö and Atsumi 2009, Chem. Eur. J. 15, 186 and 12770), but no more than the usual valences of the two atoms
    leave beside their other bonds, taken as single. This never yields 1.5: most aromatic bonds come out as 2 (all six
    of benzene), the longer ones as 1; bonds between two multiple bonds may come out as 2, and nitro groups as single
    bonds.

    Args:
        z: Atomic numbers, (N,).
        pos: Positions in Å, (N, 3).
        bond_index: Bonds, each once, i < j, (2, B).
        charge: Total charge of the molecule, e.

    Returns:
        `bond_order` (B,) float32, in the order of `bond_index`, and how the orders were found: "RDKit", "bond
        lengths" with the reason in parentheses, or "none" where there are no bonds.

    Raises:
        TypeError: a dtype is wrong, or the charge is not an integer.
        ValueError: a field is wrong (see :func:`molspectra.data.validate`).

    Warns:
        UserWarning: always; says where the orders come from and which charge was assumed.

    Example:
        >>> z, pos = torch.tensor([7, 6, 1]), torch.tensor([[1.16, 0, 0], [0, 0, 0], [-1.07, 0, 0]])
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     perceive_bond_orders(z, pos, torch.tensor([[0, 1], [1, 2]]))[0]
        tensor([3., 1.])
    """
    validate(Data(z=z, pos=pos, bond_index=bond_index))
    charge = _checked_charge(charge)
    bond_order, how = _guess_orders(z.cpu(), pos.detach().cpu().double(), bond_index.cpu(), charge)
    warnings.warn(
        f"Guessed the orders of {bond_index.shape[1]} bonds; source: {how}; total charge assumed: {charge}. {_REMEDY}",
        UserWarning,
        stacklevel=2,
    )
    return bond_order.to(z.device), how


def _edge_orders(edge_attr: Tensor, num_edges: int) -> Tensor:
    one_hot = edge_attr.dim() == 2 and edge_attr.shape[1] >= 4
    if not (one_hot or edge_attr.dim() == 1) or len(edge_attr) != num_edges:
        raise ValueError(
            f"edge_attr must have shape ({num_edges}, 4), a one-hot of single, double, triple, aromatic for each edge "
            f"of edge_index, or ({num_edges},), bond orders; got {tuple(edge_attr.shape)}. Build other encodings into "
            "one of these first."
        )
    orders = torch.tensor([1.0, 2.0, 3.0, 1.5], device=edge_attr.device)
    if one_hot:
        types = edge_attr[:, :4].float()
        wrong = ((types != 0) & (types != 1)).any(dim=1) | (types.sum(dim=1) != 1)
        order, expected = types @ orders, "hold a one-hot of single, double, triple, aromatic in each row"
    else:
        order = edge_attr.float()
        wrong, expected = ~torch.isin(order, orders), "hold bond orders: 1, 1.5 (aromatic), 2 or 3"
    if bool(wrong.any()):
        edge = int(wrong.nonzero()[0])
        raise ValueError(
            f"edge_attr must {expected}; edge {edge} has {edge_attr[edge].tolist()}. Leave out edges that are no "
            "bonds, and map other encodings to orders."
        )
    return order


def _checked_charge(charge: int) -> int:
    try:
        return operator.index(charge)
    except TypeError as error:
        raise TypeError(
            f"charge must be an integer, the total charge of the molecule (e); got {charge!r}. Round it with "
            "round(float(charge))."
        ) from error


def _close_pairs(z: Tensor, pos: Tensor, tolerance: float) -> Tensor:
    if int(z.max()) >= len(_RADII):
        unknown = z[z >= len(_RADII)].unique().tolist()
        raise ValueError(
            f"z must lie in 1..{len(_RADII) - 1}, the elements that have a covalent radius; got {unknown}. Set "
            "bond_index and bond_order of such molecules yourself."
        )
    # Not by way of |x|² + |y|² - 2 x·y, which loses digits far from the origin.
    distance = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    radius = _RADII[z]
    bonded = (distance < radius[:, None] + radius + tolerance) & (distance >= _COINCIDENT)
    noble = torch.isin(z, _NOBLE_GASES)
    bonded &= ~(noble[:, None] | noble)
    nearest = distance.masked_fill(~bonded, torch.inf).argmin(dim=1)
    second = (z == 1)[:, None] & (torch.arange(len(z)) != nearest[:, None])
    return (bonded & ~second & ~second.t()).triu(1).nonzero().t().contiguous()


def _guess_orders(z: Tensor, pos: Tensor, bond_index: Tensor, charge: int) -> tuple[Tensor, str]:
    if bond_index.shape[1] == 0:
        return torch.empty(0), "none"
    try:
        return torch.tensor(_orders_by_rdkit(z, bond_index, charge), dtype=torch.float32), "RDKit"
    except ImportError:
        reason = "RDKit is not installed; pip install molspectra[rdkit]"
    except (ValueError, RuntimeError):
        reason = "RDKit finds none for these bonds and this charge"
    return torch.tensor(_orders_by_length(z, pos, bond_index), dtype=torch.float32), f"bond lengths ({reason})"


def _orders_by_rdkit(z: Tensor, bond_index: Tensor, charge: int) -> list[float]:
    import rdkit.rdBase
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    mol = Chem.RWMol()
    for number in z.tolist():
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    for i, j in bond_index.t().tolist():
        mol.AddBond(i, j, Chem.BondType.SINGLE)
    options: dict[str, Any] = {"charge": charge, "embedChiral": False}
    with rdkit.rdBase.BlockLogs():  # RDKit writes to stderr what it then raises
        try:
            rdDetermineBonds.DetermineBondOrders(mol, **options, maxIterations=_RDKIT_STEPS)
        except TypeError:  # older RDKit has no such limit
            rdDetermineBonds.DetermineBondOrders(mol, **options)
        Chem.SanitizeMol(mol)
    return [bond.GetBondTypeAsDouble() for bond in mol.GetBonds()]


def _orders_by_length(z: Tensor, pos: Tensor, bond_index: Tensor) -> list[float]:
    degree = torch.bincount(bond_index.flatten(), minlength=len(z)).tolist()
    lengths = (pos[bond_index[0]] - pos[bond_index[1]]).norm(dim=-1).tolist()
    elements = z.tolist()
    orders = []
    for (i, j), length in zip(bond_index.t().tolist(), lengths, strict=True):
        if elements[i] not in _MULTIPLE_BONDS or elements[j] not in _MULTIPLE_BONDS:
            orders.append(1.0)
            continue
        (radii_i, valence_i), (radii_j, valence_j) = _MULTIPLE_BONDS[elements[i]], _MULTIPLE_BONDS[elements[j]]
        misfits = [abs(length - r_i - r_j) for r_i, r_j in zip(radii_i, radii_j, strict=True)]
        room = 1 + min(valence_i - degree[i], valence_j - degree[j])
        orders.append(float(max(1, min(1 + misfits.index(min(misfits)), room))))
    return orders
