"""Bonds whose lengths do not follow from covalent radii, with the lengths that were measured."""

import warnings
from typing import Any

# Lengths in Å, in the gas phase or, of ions, in crystals, from the CRC Handbook of Chemistry and Physics and NIST's
# Computational Chemistry Comparison and Benchmark DataBase.
_HALOGENS = (9, 17, 35, 53)
# Ion pairs are shorter than Schomaker and Stevenson's rule says, and those of light metals by 0.15 Å.
_ALKALI_HALIDES = {
    3: (1.564, 2.021, 2.170, 2.392),
    11: (1.926, 2.361, 2.502, 2.711),
    19: (2.171, 2.667, 2.821, 3.048),
    37: (2.270, 2.787, 2.945, 3.177),
    55: (2.345, 2.906, 3.072, 3.315),
}
# Hydroxides, and methyls of light metals.
_ALKALI = {(8, 3): 1.582, (8, 11): 1.95, (8, 19): 2.196, (8, 37): 2.301, (8, 55): 2.391, (6, 3): 1.959, (6, 11): 2.30}
_HEXAFLUORIDES = {
    **{42: 1.817, 43: 1.812, 44: 1.818, 45: 1.824, 74: 1.832, 75: 1.832, 76: 1.831, 77: 1.830, 78: 1.850},
    **{92: 1.996, 93: 1.981, 94: 1.971},
}
# A hydrogen between two atoms shares two electrons with both: HF2-, HCl2-, HBr2-, diborane.
_BRIDGES = {9: 1.145, 17: 1.57, 35: 1.70, 5: 1.32}
# An unpaired electron and a lone pair beside each other are half a bond: FO, HO2, ClO, BrO, IO, HS2.
_BESIDE_RADICALS = {(8, 9): 1.354, (8, 8): 1.331, (8, 17): 1.570, (8, 35): 1.717, (8, 53): 1.868, (16, 16): 1.960}
# NO+ and NO2 hold other atoms loosely: FNO, ClNO, BrNO, and FNO2, ClNO2, BrNO2. N2O2, N2O3, N2O4.
_NITROSYL = {9: 1.512, 17: 1.975, 35: 2.140}
_NITRYL = {9: 1.467, 17: 1.840, 35: 2.012}
_BETWEEN_NITROGENS = {2: 2.263, 3: 1.864, 4: 1.782}  # by the number of oxygens of both
_IN_NITROSYL = 1.140  # N=O of these
_DISULFUR = {9: 1.888, 17: 1.931, 35: 1.980}  # S-S with this halogen on both: S2F2, S2Cl2, S2Br2
_DIOXYGEN = {(8, 8): 1.208, (16, 16): 1.889}  # O2, S2
_SILENE = 1.704  # Si=C
_BETWEEN_NITRYLS = 1.50  # N-O in N2O5, FONO2 and ClONO2. In nitric acid and its esters it is 1.40
_CUMULENE = 1.340, 0.030  # C=C, and what an sp atom shortens it by: allene 1.308, butatriene 1.283, C3O2 1.289
_NOT_KNOWN = (*range(44, 47), *range(57, 72), *range(75, 80), *range(89, 104))


def exceptional_length(bond: Any) -> float | None:
    """Return the length of a bond of an RDKit molecule that does not follow from covalent radii, in Å, or None."""
    first, second = sorted((bond.GetBeginAtom(), bond.GetEndAtom()), key=lambda atom: atom.GetAtomicNum())
    pair, order = (first.GetAtomicNum(), second.GetAtomicNum()), bond.GetBondTypeAsDouble()
    unpaired = min(end.GetNumRadicalElectrons() for end in (first, second))
    if pair in _DIOXYGEN and order + unpaired == 2 and first.GetDegree() == second.GetDegree() == 1:
        return _DIOXYGEN[pair]
    if order == 1:
        return _single(first, second, pair)
    if order == 2 and pair == (6, 14):
        return _SILENE
    if order == 2 and pair == (7, 8) and _is_nitrosyl(first):
        return _IN_NITROSYL
    if order == 2 and pair == (6, 6) and (sp := sum(str(end.GetHybridization()) == "SP" for end in (first, second))):
        return _CUMULENE[0] - _CUMULENE[1] * sp
    return None


def warn_of_unknown_lengths(mol: Any) -> None:
    """Warn of bonds of metals whose lengths depend on charge and neighbors, and are not known.

    Warns:
        UserWarning: the molecule has such a bond.
    """
    for atom in mol.GetAtoms():
        number = atom.GetAtomicNum()
        if number in _NOT_KNOWN and any(exceptional_length(bond) is None for bond in atom.GetBonds()):
            warnings.warn(
                f"Lengths of the bonds of {atom.GetSymbol()}{atom.GetIdx()} are sums of covalent radii, which are "
                "0.15 Å off for such metals. Use from_rdkit or from_ase for a geometry from elsewhere.",
                UserWarning,
                stacklevel=2,
            )
            return


def _single(first: Any, second: Any, pair: tuple[int, int]) -> float | None:
    """Return the length of a single bond, from the lighter atom to the heavier one."""
    for metal, other in ((first, second), (second, first)):
        halogen = other.GetAtomicNum()
        if metal.GetAtomicNum() not in _ALKALI_HALIDES or metal.GetDegree() > 1:
            continue
        if halogen in _HALOGENS:
            return _ALKALI_HALIDES[metal.GetAtomicNum()][_HALOGENS.index(halogen)]
        return _ALKALI.get((halogen, metal.GetAtomicNum()))
    if pair[0] == 9 and second.GetDegree() == 6 and {other.GetAtomicNum() for other in second.GetNeighbors()} == {9}:
        return _HEXAFLUORIDES.get(pair[1])
    if pair[0] == 1 and first.GetDegree() == 2:
        return _BRIDGES.get(pair[1])
    radicals = [end.GetNumRadicalElectrons() for end in (first, second)]
    if sum(radicals) == 1 or (pair == (8, 8) and {first.GetFormalCharge(), second.GetFormalCharge()} == {0, -1}):
        return _BESIDE_RADICALS.get(pair)
    if pair == (8, 8) and _others(first, second) == _others(second, first) == {9}:
        return 1.217  # F2O2, of FO+ and FO2-
    if pair == (8, 9) and any(_others(oxygen, first) == {9} for oxygen in first.GetNeighbors()):
        return 1.575
    if pair == (16, 16) and len(halogen := _others(first, second)) == 1 and halogen == _others(second, first):
        return _DISULFUR.get(next(iter(halogen)))
    return _at_nitrogen(first, second, pair)


def _at_nitrogen(first: Any, second: Any, pair: tuple[int, int]) -> float | None:
    if pair == (7, 7) and all(_oxygens(end) for end in (first, second)):
        return _BETWEEN_NITROGENS.get(_oxygens(first) + _oxygens(second))
    if pair == (7, 8) and _oxygens(first) == 2 and second.GetDegree() == 2:
        (other,) = (end for end in second.GetNeighbors() if end.GetIdx() != first.GetIdx())
        return _BETWEEN_NITRYLS if other.GetAtomicNum() in _HALOGENS or _oxygens(other) == 2 else None
    if pair[0] == 7 and pair[1] in _HALOGENS:
        return {1: _NITROSYL, 2: _NITRYL}.get(_oxygens(first), {}).get(pair[1])
    return None


def _is_nitrosyl(nitrogen: Any) -> bool:
    """Return True for N=O that holds a halogen or another N=O or NO2."""
    if _oxygens(nitrogen) != 1:
        return False
    return any(
        other.GetAtomicNum() in _NITROSYL or (other.GetAtomicNum() == 7 and _oxygens(other) > 0)
        for other in nitrogen.GetNeighbors()
    )


def _oxygens(nitrogen: Any) -> int:
    """Count the oxygens at the end of a nitrogen, of N=O or NO2. 0 without a double bond."""
    if nitrogen.GetAtomicNum() != 7:
        return 0
    ends = [
        bond
        for bond in nitrogen.GetBonds()
        if bond.GetOtherAtom(nitrogen).GetAtomicNum() == 8 and bond.GetOtherAtom(nitrogen).GetDegree() == 1
    ]
    return len(ends) if any(bond.GetBondTypeAsDouble() == 2 for bond in ends) else 0


def _others(atom: Any, neighbor: Any) -> set[int]:
    """Return the elements of the neighbors of an atom, without one of them."""
    return {other.GetAtomicNum() for other in atom.GetNeighbors() if other.GetIdx() != neighbor.GetIdx()}
