"""Checks that positions can be those of a molecule, in Å."""

import warnings

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra.data.chemistry.bond_lengths import expected_length
from molspectra.data.chemistry.elements import SYMBOLS

_NEAREST = 0.3  # Å. Bonds are longer than 0.7 Å, and those of positions in nm about 0.1
_BLOCK = 2048  # atoms whose distances are held at a time
# Ratios of bonds to their expected lengths, in the median over a molecule: 0.1 in nm, 1.9 in Bohr.
_SHORTEST, _LONGEST = 0.7, 1.45
_UNBOUND = 1.35  # ratio of a distance, where no atoms are bound. Triple bonds in Bohr have 1.46
_LONGEST_TO_CARBON = 2.0  # Å, to other atoms of organic molecules: C-I has 2.14, and is none of these
_TRIPLE = 1.28  # Å, longer than those of carbon
_BENT = 0.5  # 0 for sp and sp2, 1 for two neighbors at 120 degrees and 1.15 at 109.5, 1 for three neighbors of sp3
_FLAT = 1e-4  # Å


def check_geometry(data: Data) -> None:
    """Check that positions can be those of a molecule with bonds.

    Args:
        data: `z`, `pos` (Å), `bond_index` and `bond_order`.

    Raises:
        ValueError: two atoms are in one place, half of the bonds are far too short or too long, or an atom with four
            neighbors lies in a plane with all others.
    """
    check_apart(data.z, data.pos)
    _check_bond_lengths(data)
    _check_not_flat(data)


def check_apart(z: Tensor, pos: Tensor) -> None:
    """Check that no two atoms are in one place.

    Args:
        z: Atomic numbers, (N,).
        pos: Positions, (N, 3), Å.

    Raises:
        ValueError: two are less than 0.3 Å apart.
    """
    i, j, distance = _nearest_pair(pos)
    if distance < _NEAREST:
        raise ValueError(
            f"Atoms must be at least {_NEAREST:g} Å apart; {_name(z, i)} and {_name(z, j)} are {distance:.3g} Å apart. "
            "Convert positions to Å if they are in nm, and leave out atoms that are there twice."
        )


def _check_bond_lengths(data: Data) -> None:
    """Refuse positions in other units, by the median of the bonds."""
    if data.bond_index.shape[1] == 0:
        return
    i, j = data.bond_index
    pairs = zip(data.z[i].tolist(), data.z[j].tolist(), data.bond_order.tolist(), strict=True)
    expected = torch.tensor([expected_length(*pair) for pair in pairs], dtype=torch.float64)
    ratio = float(((data.pos[i] - data.pos[j]).double().norm(dim=1) / expected).median())
    if not _SHORTEST < ratio < _LONGEST:
        raise ValueError(
            f"Bonds must be about as long as covalent radii say; in the median they are {ratio:.2f} times as long. "
            "Convert positions to Å: they may be in Bohr (1.89 times as long) or nm (0.1), or those of a drawing."
        )


def _check_not_flat(data: Data) -> None:
    """Refuse drawings: an atom with four neighbors does not lie in a plane with all others."""
    z = data.pos[:, 2]
    if float(z.max() - z.min()) > _FLAT:
        return
    degree = torch.bincount(data.bond_index.flatten(), minlength=len(z))
    # Metals, and xenon in XeF4, may have four neighbors in a plane.
    tetrahedral = (degree >= 4) & ((data.z <= 10) | ((data.z >= 14) & (data.z <= 16)))
    if bool(tetrahedral.any()):
        atom = int(tetrahedral.nonzero()[0])
        raise ValueError(
            f"Positions must be three-dimensional; all have z = {float(z[0]):g}, although {_name(data.z, atom)} has "
            f"{int(degree[atom])} neighbors. They are a drawing: make a conformer, with molspectra.data.from_smiles or "
            "rdkit.Chem.rdDistGeom.EmbedMolecule."
        )


def warn_of_unbound_atoms(z: Tensor, pos: Tensor) -> None:
    """Warn if no two atoms are as near as a bond, as in a file in Bohr.

    Args:
        z: Atomic numbers, (N,).
        pos: Positions, (N, 3), Å.

    Warns:
        UserWarning: the nearest two are more than 1.35 times as far apart as a single bond would be.
    """
    i, j, distance = _nearest_pair(pos)
    if len(z) > 1 and distance > _UNBOUND * expected_length(int(z[i]), int(z[j]), 1):
        warnings.warn(
            f"No two atoms are as near as a bond: the nearest, {_name(z, i)} and {_name(z, j)}, are {distance:.3g} Å "
            "apart. Are the positions in Å?",
            UserWarning,
            stacklevel=2,
        )


def _nearest_pair(pos: Tensor) -> tuple[int, int, float]:
    """Return the two nearest atoms and their distance."""
    best = (0, 0, float("inf"))
    pos = pos.double()
    for first in range(0, len(pos), _BLOCK):
        block = torch.cdist(pos[first : first + _BLOCK], pos, compute_mode="donot_use_mm_for_euclid_dist")
        own = torch.arange(len(block))
        block[own, own + first] = torch.inf
        flat = int(block.argmin())
        i, j = flat // len(pos) + first, flat % len(pos)
        distance = float(block.flatten()[flat])
        if distance < best[2]:
            best = (min(i, j), max(i, j), distance)
    return best


def _name(z: Tensor, atom: int) -> str:
    return f"{SYMBOLS[int(z[atom]) - 1]}{atom}"


def warn_of_missing_hydrogens(z: Tensor, pos: Tensor) -> None:
    """Warn if a molecule without hydrogens has carbons whose neighbors leave places for some.

    Args:
        z: Atomic numbers, (N,).
        pos: Positions, (N, 3), Å.

    Warns:
        UserWarning: a carbon has one neighbor at more than the length of a triple bond, two that are bent, or three
            that are pyramidal.
    """
    if bool((z == 1).any()) or not bool((z == 6).any()):
        return
    for atom in (z == 6).nonzero().flatten().tolist():
        direction = (pos - pos[atom]).double()
        bound = ((d := direction.norm(dim=1)) > 0) & (d < _LONGEST_TO_CARBON)
        unit = direction[bound] / d[bound].unsqueeze(1)
        count = len(unit)
        lone = count == 1 and float(d[bound]) > _TRIPLE
        # Unit vectors to the neighbors add up to 0 where they are linear or trigonal.
        if lone or (count in (2, 3) and float(unit.sum(dim=0).norm()) > _BENT):
            warnings.warn(
                f"Hydrogens seem to be missing: there are none, and {_name(z, atom)} has places for some. Add them, "
                "since encoders and spectra count all atoms.",
                UserWarning,
                stacklevel=2,
            )
            return
