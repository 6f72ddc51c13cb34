"""Force constants of UFF, MMFF94 and OpenFF force fields, term by term, for RDKit molecules."""

import math
from collections.abc import Callable
from typing import Any

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.smirnoff import SmirnoffForceField, oriented
from molspectra.data.units import MMFF94_MILLIDYNE

MISSING = math.nan
"""Constant of a term for which a force field has no parameter."""

Constant = Callable[..., float]
Constants = tuple[Constant, Constant, Constant]
"""Functions of the atoms of a bond (i, j), an angle (i, j, k) and a torsion (i, j, k, l).

They return the constants in kcal/mol/Å^2 (bonds) and kcal/mol/rad^2 (angles and torsions).
"""

_CHALCOGENS = {8, 16, 34, 52, 84}


def openff_constants(mol: Any, force_field: SmirnoffForceField) -> Constants:
    """Return the constants of a SMIRNOFF force field: k of bonds and angles, k_1 n_1^2 of torsions."""
    labels = force_field.label(mol)

    def bond(*term: int) -> float:
        parameter = labels.bonds.get(oriented(term))
        return MISSING if parameter is None else parameter.k

    def angle(*term: int) -> float:
        parameter = labels.angles.get(oriented(term))
        return MISSING if parameter is None else parameter.k

    def torsion(*term: int) -> float:
        parameter = labels.torsions.get(oriented(term))
        # d²/dφ² of k (1 + cos(nφ - phase)) is k n² in size at its extrema. The release reads the first term only.
        return MISSING if parameter is None else parameter.k[0] * parameter.periodicity[0] ** 2

    return bond, angle, torsion


def uff_constants(mol: Any) -> Constants:
    """Return the constants of UFF (Rappé et al. 1992, 10.1021/ja00051a040)."""
    helpers = import_rdkit("ForceConstants").Chem.rdForceFieldHelpers
    around = [{neighbor.GetIdx() for neighbor in atom.GetNeighbors()} for atom in mol.GetAtoms()]

    def bond(i: int, j: int) -> float:
        parameters = helpers.GetUFFBondStretchParams(mol, i, j)
        return MISSING if parameters is None else parameters[0]

    def angle(i: int, j: int, k: int) -> float:
        parameters = helpers.GetUFFAngleBendParams(mol, i, j, k)
        return MISSING if parameters is None else parameters[0]

    def torsion(i: int, j: int, k: int, l: int) -> float:
        barrier = None if i == l else helpers.GetUFFTorsionParams(mol, i, j, k, l)
        if barrier is None:
            return MISSING
        # V/2 (1 - cos nφ) has the curvature V n²/2 in a minimum. UFF's barrier V is that of the whole bond. It is
        # divided among all pairs of ends (i, l), except those that close a ring of three (i = l).
        num_pairs = (len(around[j]) - 1) * (len(around[k]) - 1) - len(around[j] & around[k])
        return barrier * _uff_periodicity(mol, i, j, k, l) ** 2 / 2 / num_pairs

    return bond, angle, torsion


def _uff_periodicity(mol: Any, i: int, j: int, k: int, l: int) -> int:
    """Return the number of minima of a torsion in UFF, by the rules after equation 16 of Rappé et al. 1992."""
    rdkit = import_rdkit("ForceConstants")
    hybridizations = rdkit.Chem.HybridizationType
    atoms = [mol.GetAtomWithIdx(atom) for atom in (i, j, k, l)]
    outer, inner = (atoms[0], atoms[3]), (atoms[1], atoms[2])
    single = mol.GetBondBetweenAtoms(j, k).GetBondType() == rdkit.Chem.BondType.SINGLE
    sp3 = [atom for atom in inner if atom.GetHybridization() == hybridizations.SP3]
    chalcogens = [atom for atom in inner if atom.GetAtomicNum() in _CHALCOGENS]
    # Between two sp3 atoms: three staggered minima, but two between two chalcogens (as in H2O2, near 90°).
    if len(sp3) == 2:
        return 2 if single and len(chalcogens) == 2 else 3
    # Between two sp2 atoms: planar, either way round.
    if len(sp3) == 0:
        return 2
    # Between sp3 and sp2: two if the sp3 atom is a chalcogen, three next to another sp2 atom (as in propene), else six.
    if single and len(chalcogens) == 1 and chalcogens[0].GetIdx() == sp3[0].GetIdx():
        return 2
    if single and any(atom.GetHybridization() == hybridizations.SP2 for atom in outer):
        return 3
    return 6


def mmff_constants(mol: Any, name: str) -> Constants:
    """Return the constants of MMFF94 (Halgren 1996, J. Comput. Chem. 17, 490).

    Args:
        mol: An RDKit molecule.
        name: Name of the molecule for the error message.

    Raises:
        ValueError: MMFF94 has no type for an atom.
    """
    helpers = import_rdkit("ForceConstants").Chem.rdForceFieldHelpers
    properties = helpers.MMFFGetMoleculeProperties(mol)
    if properties is None:
        raise ValueError(
            f"MMFF94 must have types for all atoms of the molecule; it has none for some of {name}. Use "
            "ForceConstants('uff'), which has all elements, or ForceConstants.generic()."
        )

    def bond(i: int, j: int) -> float:
        parameters = properties.GetMMFFBondStretchParams(mol, i, j)
        return MISSING if parameters is None else parameters[1] * MMFF94_MILLIDYNE

    def angle(i: int, j: int, k: int) -> float:
        parameters = properties.GetMMFFAngleBendParams(mol, i, j, k)
        return MISSING if parameters is None else parameters[1] * MMFF94_MILLIDYNE

    def torsion(i: int, j: int, k: int, l: int) -> float:
        parameters = None if i == l else properties.GetMMFFTorsionParams(mol, i, j, k, l)
        if parameters is None:
            return MISSING
        # V_n/2 (1 ± cos nφ) for n = 1, 2, 3, each with the curvature V_n n²/2 in its own minimum.
        return sum(n**2 * abs(barrier) for n, barrier in enumerate(parameters[1:], start=1)) / 2

    return bond, angle, torsion
