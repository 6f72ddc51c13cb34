"""Bonds guessed from positions, for molecules that come without.

Keep bonds from where the molecule was made, if possible (:func:`molspectra.data.from_smiles` and `from_rdkit` do).
"""

import operator
import warnings
from itertools import accumulate

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from molspectra._validation import check_molecules, checked
from molspectra.data.chemistry.bond_orders import REMEDY, guess_orders

# Covalent radii of Cordero et al. (2008), doi:10.1039/b801115j, table 2, in pm, H to Cm, one line per period. Carbon:
# sp3; Mn, Fe, Co: low spin.
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


@checked
def perceive_bonds(
    z: Int64[Tensor, " atoms"],
    pos: Float[Tensor, "atoms 3"],
    charge: int = 0,
    tolerance: float = 0.4,
) -> tuple[Int64[Tensor, "2 bonds"], Float32[Tensor, " bonds"]]:
    """Guess the bonds of one molecule from its positions, and warn about the guess.

    Atoms are bonded if they are closer than the sum of their covalent radii (Cordero et al. 2008,
    doi:10.1039/b801115j) plus a tolerance, and farther apart than 0.1 Å. A hydrogen keeps only its nearest neighbor,
    and noble gases form no bonds. Metal ions in contact with their counter-ions come out bonded, and so may atoms that
    are squeezed together. For the orders see :func:`molspectra.data.perceive_bond_orders`.

    Args:
        z: Atomic numbers, (N,), 1 to 96.
        pos: Positions in Å, (N, 3).
        charge: Total charge of the molecule, e.
        tolerance: Å.

    Returns:
        `bond_index` (2, B), i < j, sorted by (i, j), and `bond_order` (B,) float32. B may be 0.

    Raises:
        TypeError: a dtype is wrong, or the charge is not an integer.
        ValueError: a shape is wrong, the molecule is empty, a position is not finite, an element has no radius, or the
            tolerance is negative.

    Warns:
        UserWarning: always. It says how many bonds were found, where the orders come from and which charge was assumed.

    Example:
        >>> z, pos = torch.tensor([8, 6, 8]), torch.tensor([[1.16, 0, 0], [0, 0, 0], [-1.16, 0, 0]])
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     perceive_bonds(z, pos)
        (tensor([[0, 1],
                [1, 2]]), tensor([2., 2.]))
    """
    check_molecules(z, pos, batch=None, values=True)
    charge = operator.index(charge)
    if tolerance < 0:
        raise ValueError(f"tolerance must be 0 or above (Å); got {tolerance}. Bonds scatter about the sum of radii.")
    bond_index = _close_pairs(z.cpu(), pos.detach().cpu().double(), tolerance)
    bond_order, source = guess_orders(z.cpu(), pos.detach().cpu().double(), bond_index, charge)
    warnings.warn(
        f"Guessed {bond_index.shape[1]} bonds of {len(z)} atoms from distances (covalent radii + {tolerance} Å); "
        f"source of their orders: {source}; total charge assumed: {charge}. {REMEDY}",
        UserWarning,
        stacklevel=2,
    )
    return bond_index.to(z.device), bond_order.to(z.device)


def _close_pairs(z: Tensor, pos: Tensor, tolerance: float) -> Tensor:
    if int(z.max()) >= len(_RADII):
        unknown = z[z >= len(_RADII)].unique().tolist()
        raise ValueError(
            f"z must lie in 1..{len(_RADII) - 1}, the elements that have a covalent radius; got {unknown}. Set "
            "bond_index and bond_order of such molecules yourself."
        )
    # The faster way by |x|² + |y|² - 2 x·y loses digits far from the origin.
    distance = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    radius = _RADII[z]
    bonded = (distance < radius[:, None] + radius + tolerance) & (distance >= _COINCIDENT)
    noble = torch.isin(z, _NOBLE_GASES)
    bonded &= ~(noble[:, None] | noble)
    # A hydrogen in a hydrogen bond is near two atoms, but bonded to one.
    nearest = distance.masked_fill(~bonded, torch.inf).argmin(dim=1)
    second = (z == 1)[:, None] & (torch.arange(len(z)) != nearest[:, None])
    return (bonded & ~second & ~second.t()).triu(1).nonzero().t().contiguous()
