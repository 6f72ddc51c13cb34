"""Relaxation of conformers with the force fields of RDKit, where they lack parameters with lengths from elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.bond_lengths import delocalized_orders, has_measured_length, is_exceptional
from molspectra.data.chemistry.polyhedra import centers

Pair = tuple[int, int]

_STEPS = 2000
_STIFFNESS = 1e5  # kcal/mol/Å^2, hundred times that of a bond
# Radii (Å) and electronegativities of MMFF94's rule for bonds without parameters (Halgren 1996, part V).
_RULE = {
    6: (0.77, 2.50),
    7: (0.73, 3.07),
    8: (0.72, 3.50),
    9: (0.74, 4.12),
    14: (1.15, 1.74),
    15: (1.09, 2.06),
    16: (1.03, 2.44),
    17: (1.01, 2.83),
    35: (1.15, 2.74),
    53: (1.33, 2.21),
}
_ORDINARY = {1, 6, 7, 8, 9}


def known_force_fields(mol: Any, shapes: Mapping[Pair, float]) -> list[str]:
    """Return the names of the force fields that can relax a molecule, the better one first.

    Args:
        mol: An RDKit molecule with all hydrogens.
        shapes: Distances that replace parameters (see :func:`molspectra.data.chemistry.polyhedra.ideal_distances`).
    """
    helpers = import_rdkit("from_smiles").Chem.rdForceFieldHelpers
    # A copy, because MMFF94 overwrites the aromaticity of the molecule with its own model.
    known = ["MMFF94"] if helpers.MMFFHasAllMoleculeParams(import_rdkit("from_smiles").Chem.Mol(mol)) else []
    replaced = centers(mol) if shapes else set()
    others = {atom.GetAtomicNum() for atom in mol.GetAtoms() if atom.GetIdx() not in replaced}
    if helpers.UFFHasAllMoleculeParams(mol) or (replaced and others <= {*_RULE, 1, 5}):
        known.append("UFF")
    return known


def relax(mol: Any, force_field: str, lengths: Sequence[float], shapes: Mapping[Pair, float]) -> np.ndarray:
    """Relax the positions of a molecule, each fragment by itself, in at most 2000 steps.

    Bonds for which the force field has no parameters are held at their expected lengths.

    Args:
        mol: An RDKit molecule with a conformer, which is not changed.
        force_field: "MMFF94" or "UFF".
        lengths: Expected length of each bond, Å.
        shapes: Further distances to be held, Å.

    Returns:
        Positions (N, 3), Å.
    """
    rdkit = import_rdkit("from_smiles")
    helpers, relaxed = rdkit.Chem.rdForceFieldHelpers, rdkit.Chem.Mol(mol)
    if force_field == "MMFF94":
        properties = helpers.MMFFGetMoleculeProperties(relaxed)
        field = helpers.MMFFGetMoleculeForceField(relaxed, properties, ignoreInterfragInteractions=True)
        bonds, hold = _guessed_by_mmff(mol, properties, lengths), field.MMFFAddDistanceConstraint
    else:
        field = helpers.UFFGetMoleculeForceField(relaxed, ignoreInterfragInteractions=True)
        bonds, hold = _unusual_for_uff(mol), field.UFFAddDistanceConstraint
    field.Initialize()
    held = {_ends(mol.GetBondWithIdx(bond)): lengths[bond] for bond in bonds} | dict(shapes)
    for (i, j), distance in held.items():
        hold(i, j, False, distance, distance, _STIFFNESS)
    field.Minimize(maxIts=_STEPS)
    return np.array(relaxed.GetConformer().GetPositions())


def _guessed_by_mmff(mol: Any, properties: Any, lengths: Sequence[float]) -> list[int]:
    """Find bonds whose length RDKit's MMFF94 takes from an empirical rule, except for ordinary single ones.

    RDKit applies the rule for missing parameters without its terms for bond order and hybridization, so that it takes
    all bonds for single ones: 1.405 Å for CO2. The parameters for ylides of phosphorus are those of longer bonds.
    """
    guessed = []
    for bond, order, length in zip(mol.GetBonds(), delocalized_orders(mol), lengths, strict=True):
        ends = [bond.GetBeginAtom(), bond.GetEndAtom()]
        if is_exceptional(bond):
            guessed.append(bond.GetIdx())
            continue
        linear = any(str(end.GetHybridization()) == "SP" for end in ends)
        if (order == 1 and not linear and not has_measured_length(bond)) or not all(
            end.GetAtomicNum() in _RULE for end in ends
        ):
            continue
        parameters = properties.GetMMFFBondStretchParams(mol, ends[0].GetIdx(), ends[1].GetIdx())
        (r_i, chi_i), (r_j, chi_j) = (_RULE[end.GetAtomicNum()] for end in ends)
        rule = r_i + r_j - 0.085 * abs(chi_i - chi_j) ** 1.4
        is_ylide = {end.GetAtomicNum() for end in ends} == {6, 15} and order > 1
        if parameters is None or abs(parameters[2] - rule) < 2e-3 or (is_ylide and parameters[2] > length):
            guessed.append(bond.GetIdx())
    return guessed


def _unusual_for_uff(mol: Any) -> list[int]:
    """Find bonds that UFF knows badly: of elements other than H, C, N, O and F, of broken order, between lone pairs."""
    unusual = []
    for bond, order in zip(mol.GetBonds(), delocalized_orders(mol), strict=True):
        numbers = {bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum()}
        delocalized = order != int(order) and not bond.GetIsAromatic()
        if order > 0 and (delocalized or is_exceptional(bond) or has_measured_length(bond) or not numbers <= _ORDINARY):
            unusual.append(bond.GetIdx())
    return unusual


def _ends(bond: Any) -> Pair:
    i, j = sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
    return i, j
