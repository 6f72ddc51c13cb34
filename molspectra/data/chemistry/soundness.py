"""Faults of generated conformers: bonds of impossible lengths, and atoms that touch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.bond_lengths import expected_length
from molspectra.data.chemistry.exceptional_bonds import exceptional_length

# Ratios of a length to the expected one. Single bonds among N, O and F are up to 17 % longer than their radii, and
# radii of metals depend on their charge and coordination.
_SHORTEST = 0.8
_LONGEST_SINGLE, _LONGEST_MULTIPLE = 1.22, 1.15
_METAL_TOLERANCE = 1.4
_NON_METALS = {1, 2, *range(5, 11), *range(14, 19), *range(32, 37), *range(51, 55)}
# Ratios of the distance of atoms without a bond to the sum of their radii. Across rings of four it is 1.03 (Si2O2).
_NEAREST_ACROSS, _NEAREST = 0.95, 1.15
_POLYHEDRON_TOLERANCE, _BOND_TOLERANCE = 0.1, 0.04


def find_faults(
    mol: Any, positions: np.ndarray, lengths: Sequence[float], shapes: Mapping[tuple[int, int], float]
) -> list[str]:
    """Find the faults of a conformer.

    Args:
        mol: A sanitized RDKit molecule.
        positions: Its positions, (N, 3), Å.
        lengths: Expected length of each bond, Å.
        shapes: Distances within polyhedra, Å.

    Returns:
        One text for each bond that is too short or too long, for each pair of atoms without a bond that is too close,
        and for each that is out of its place in a polyhedron. Atoms of different fragments are not compared.
    """
    if not np.isfinite(positions).all():
        return ["positions are not finite"]
    faults = []
    for bond, expected in zip(mol.GetBonds(), lengths, strict=True):
        ends = bond.GetBeginAtom(), bond.GetEndAtom()
        found = float(np.linalg.norm(positions[ends[0].GetIdx()] - positions[ends[1].GetIdx()]))
        order = bond.GetBondTypeAsDouble()
        longest = _LONGEST_SINGLE if order == 1 or bond.GetIsAromatic() else _LONGEST_MULTIPLE
        shortest = _SHORTEST
        if exceptional_length(bond) is not None:
            shortest, longest = 1 - _BOND_TOLERANCE, 1 + _BOND_TOLERANCE
        elif not all(end.GetAtomicNum() in _NON_METALS for end in ends):
            shortest, longest = 1 / _METAL_TOLERANCE, _METAL_TOLERANCE
        if order > 0 and not shortest * expected <= found <= longest * expected:
            faults.append(f"the bond {_name(ends[0])}-{_name(ends[1])} of {found:.2f} Å, expected {expected:.2f} Å")
    for (i, j), expected in shapes.items():
        found = float(np.linalg.norm(positions[i] - positions[j]))
        is_bond = mol.GetBondBetweenAtoms(i, j) is not None
        if abs(found - expected) > (_BOND_TOLERANCE if is_bond else _POLYHEDRON_TOLERANCE) * expected:
            pair = f"{_name(mol.GetAtomWithIdx(i))} and {_name(mol.GetAtomWithIdx(j))}"
            faults.append(f"{pair} {found:.2f} Å apart, expected {expected:.2f} Å")
    return faults + _contacts(mol, positions)


def _contacts(mol: Any, positions: np.ndarray) -> list[str]:
    hops = import_rdkit("from_smiles").Chem.GetDistanceMatrix(mol)  # 1e8 between fragments
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    radii = np.array([expected_length(number, number, 1) / 2 for number in numbers])
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    ratio = distances / (radii[:, None] + radii)
    touching = ((hops == 2) & (ratio < _NEAREST_ACROSS)) | ((hops > 2) & (hops < len(numbers)) & (ratio < _NEAREST))
    return [
        f"{_name(mol.GetAtomWithIdx(int(i)))} and {_name(mol.GetAtomWithIdx(int(j)))} {distances[i, j]:.2f} Å apart"
        for i, j in zip(*np.nonzero(np.triu(touching)), strict=True)
    ]


def _name(atom: Any) -> str:
    return f"{atom.GetSymbol()}{atom.GetIdx()}"
