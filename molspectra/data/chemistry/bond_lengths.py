"""Lengths that bonds are expected to have, from covalent radii, bond orders and electronegativities."""

import math
from typing import Any

from molspectra.data.chemistry.exceptional_bonds import exceptional_length

# Covalent radii of atoms in single, double and triple bonds in pm, from H on, 0 where there is none (Pyykkö and Atsumi
# 2009, Chem. Eur. J. 15, 186 and 12770; triple: Pyykkö, Riedel and Patzschke 2005, Chem. Eur. J. 11, 3511).
# Double bonds of Xe are from XeO3 and XeOF4.
_SINGLE_PM = """
    32 46 133 102 85 75 71 63 64 67 155 139 126 116 111 103 99 96 196 171 148 136 134 122 119 116 111 110 112 118 124
    121 121 116 114 117 210 185 163 154 147 138 128 125 125 120 128 136 142 140 140 136 133 131 232 196 180 163 176 174
    173 172 168 169 168 167 166 165 164 170 162 152 146 137 131 129 122 123 124 133 144 144 151 145 147 142 223 201 186
    175 169 170 171 172 166 166 168 168 165 167 173 176 161 157 149 143 141 134 129 128 121 122 136 143 162 175 165 157
"""
_DOUBLE_PM = """
    0 0 124 90 78 67 60 57 59 96 160 132 113 107 102 94 95 107 193 147 116 117 112 111 105 109 103 101 115 120 117 111
    114 107 109 121 202 157 130 127 125 121 120 114 110 117 139 144 136 130 133 128 129 117 209 161 139 137 138 137 135
    134 134 135 135 133 133 133 131 129 131 128 126 120 119 116 115 112 121 142 142 135 141 135 138 145 218 173 153 143
    138 134 136 135 135 136
"""
_TRIPLE_PM = """
    0 0 0 85 73 60 54 53 53 0 0 127 111 102 94 95 93 96 0 133 114 108 106 103 103 102 96 101 120 0 121 114 106 107 110
    108 0 139 124 121 116 113 110 103 106 112 137 0 146 132 127 121 125 122 0 149 139 131 128 0 0 0 0 132 0 0 0 0 0 0
    131 122 119 115 110 109 107 110 123 0 150 137 135 129 138 133 0 159 140 136 129 118 116 0 0 0
"""
# Pauling electronegativities, H to Np, 0 where there is none.
_ELECTRONEGATIVITIES = """
    2.2 0 .98 1.57 2.04 2.55 3.04 3.44 3.98 0 .93 1.31 1.61 1.9 2.19 2.58 3.16 0 .82 1 1.36 1.54 1.63 1.66 1.55 1.83
    1.88 1.91 1.9 1.65 1.81 2.01 2.18 2.55 2.96 0 .82 .95 1.22 1.33 1.6 2.16 2.1 2.2 2.28 2.2 1.93 1.69 1.78 1.96 2.05
    2.1 2.66 0 .79 .89 1.1 1.12 1.13 1.14 0 1.17 0 1.2 0 1.22 1.23 1.24 1.25 0 1 1.3 1.5 1.7 1.9 2.2 2.2 2.2 2.4 1.9 1.8
    1.8 1.9 2 2.2 0 .7 .9 1.1 1.3 1.5 1.7 1.3
"""
_RADII = [[0, *map(int, table.split())] for table in (_SINGLE_PM, _DOUBLE_PM, _TRIPLE_PM)]
_CHI = [0.0, *map(float, _ELECTRONEGATIVITIES.split())]
_POLAR_SHORTENING = 0.09  # Å per unit of electronegativity (Schomaker and Stevenson 1941, J. Am. Chem. Soc. 63, 37)
_SP_SHORTENING = 0.06  # Å per sp atom of a single bond: 1.384 Å between those of butadiyne, where two radii give 1.50
_DATIVE_LENGTHENING = 0.07  # Å: 1.658 Å between B and N in H3B-NH3, where two radii give 1.56
_PAULING = 0.60  # Å: d(n) = d(1) - 0.60 lg n for n electron pairs in a bond (Pauling 1947, J. Am. Chem. Soc. 69, 542)
# Lone pairs repel each other: N2H4, NH2OH, NF3, H2O2, OF2, F2. Radii of H are too long for HF.
_MEASURED = {(7, 7): 1.449, (7, 8): 1.453, (7, 9): 1.365, (8, 8): 1.475, (8, 9): 1.405, (9, 9): 1.412, (1, 9): 0.917}
_USUAL_VALENCES = {
    **dict.fromkeys((5, 13, 31, 49), 3),
    **dict.fromkeys((14, 32, 50), 4),
    **dict.fromkeys((15, 33, 51), 3),
    **dict.fromkeys((16, 34, 52), 2),
    **dict.fromkeys((17, 35, 53), 1),
}
_HEAVIEST_OF_PERIOD_2 = 10


def expected_lengths(mol: Any) -> list[float]:
    """Estimate the length of each bond of an RDKit molecule, in Å.

    The sum of the radii of Pyykkö and Atsumi at the order of the bond, averaged over resonance forms, shortened by
    0.09 Å per unit of electronegativity, with corrections for sp atoms, lone pairs, dative bonds and anions such as
    SiF6(2-). On bonds of main-group elements it is mostly within 0.1 Å of experiment.

    Args:
        mol: A sanitized `rdkit.Chem.Mol`.
    """
    return [_length(bond, order) for bond, order in zip(mol.GetBonds(), delocalized_orders(mol), strict=True)]


def is_exceptional(bond: Any) -> bool:
    """Return True for bonds that force fields do not know: unusual ones, with unpaired electrons, in small rings."""
    ends = bond.GetBeginAtom(), bond.GetEndAtom()
    radicals = all(end.GetNumRadicalElectrons() for end in ends)
    heavy = any(end.GetAtomicNum() > _HEAVIEST_OF_PERIOD_2 for end in ends)
    return radicals or (heavy and bond.IsInRingSize(3)) or exceptional_length(bond) is not None


def has_measured_length(bond: Any) -> bool:
    """Return True for single bonds whose length is that of the simplest molecule that has it."""
    return bond.GetBondTypeAsDouble() == 1 and _pair(bond) in _MEASURED


def _length(bond: Any, order: float) -> float:
    ends = bond.GetBeginAtom(), bond.GetEndAtom()
    if (exception := exceptional_length(bond)) is not None:
        return exception
    if _pair(bond) == (8, 8) and 1 < order < 2:  # ozone: lone pairs repel each other as in H2O2
        return _MEASURED[8, 8] + (order - 1) * (expected_length(8, 8, 2) - _MEASURED[8, 8])
    if order > 1:
        return expected_length(*_pair(bond), order)
    if _is_dative(bond):
        return expected_length(*_pair(bond), 1, polar=False) + _DATIVE_LENGTHENING
    if has_measured_length(bond):
        return _MEASURED[_pair(bond)]
    sp_atoms = sum(str(end.GetHybridization()) == "SP" and end.GetAtomicNum() in (6, 7) for end in ends)
    strength = min(map(_electron_pairs, ends))
    return expected_length(*_pair(bond), 1) - _SP_SHORTENING * sp_atoms - _PAULING * math.log10(strength)


def _electron_pairs(atom: Any) -> float:
    """Return the electron pairs of each bond of an atom: 2/3 in SiF6(2-), whose six bonds come from four."""
    charge, valence = atom.GetFormalCharge(), atom.GetTotalValence()
    usual = _USUAL_VALENCES.get(atom.GetAtomicNum())
    return (valence + charge) / valence if usual is not None and charge < 0 and valence > max(usual, -charge) else 1.0


def _pair(bond: Any) -> tuple[int, int]:
    i, j = sorted((bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum()))
    return i, j


def expected_length(first: int, second: int, order: float, polar: bool = True) -> float:
    """Estimate the length of a bond between two elements, in Å.

    Args:
        first: Atomic number of one atom.
        second: Atomic number of the other.
        order: Order of the bond. Between whole orders, lengths are interpolated.
        polar: Shorten the bond by the difference of electronegativities.
    """
    lower = min(max(int(order), 1), 3)
    length = covalent_radius(first, lower) + covalent_radius(second, lower)
    if order > lower and lower < 3:
        longer, shorter = length, covalent_radius(first, lower + 1) + covalent_radius(second, lower + 1)
        length = longer + (order - lower) * (shorter - longer)
    chi = [_CHI[number] if number < len(_CHI) else 0.0 for number in (first, second)]
    if polar and all(chi) and 1 not in (first, second):
        # Triple bonds are as long as their radii: 1.128 Å in CO, 1.153 Å in HCN.
        length -= _POLAR_SHORTENING * abs(chi[0] - chi[1]) * min(1.0, 3 - order)
    return length


def delocalized_orders(mol: Any) -> list[float]:
    """Compute the order of each bond of an RDKit molecule, averaged over the resonance forms of its anions.

    An anion next to an atom with a multiple bond shares its charge with the other end of that bond: O=N[O-] has two
    bonds of order 1.5, and N#[N+][O-] bonds of 2.5 and 1.5. A radical does likewise: [O]N=O has two of 1.5. Two
    unpaired electrons beside each other are a bond, as in [O][O]. Ylides and oxides of P, S and heavier elements,
    written with two charges, have double bonds.
    """
    orders = [1.0 if _is_p4(bond) else bond.GetBondTypeAsDouble() for bond in mol.GetBonds()]
    shifts = [0.0] * len(orders)
    for atom in mol.GetAtoms():
        bonds = atom.GetBonds()
        if any(bond.GetIsAromatic() for bond in bonds):
            continue
        donors = [bond for bond in bonds if _donates(bond, atom) and orders[bond.GetIdx()] < 3]
        acceptors = [bond for bond in bonds if not _donates(bond, atom) and orders[bond.GetIdx()] >= 2]
        for bond in donors if acceptors else ():
            shifts[bond.GetIdx()] += len(acceptors) / (len(donors) + len(acceptors))
        for bond in acceptors if donors else ():
            shifts[bond.GetIdx()] -= len(donors) / (len(donors) + len(acceptors))
        if not acceptors and atom.GetFormalCharge() > 0 and atom.GetAtomicNum() > _HEAVIEST_OF_PERIOD_2:
            for bond in donors:
                shifts[bond.GetIdx()] += 1.0
    for bond in mol.GetBonds():
        unpaired = min(end.GetNumRadicalElectrons() for end in (bond.GetBeginAtom(), bond.GetEndAtom()))
        shifts[bond.GetIdx()] += min(unpaired, 3.0 - orders[bond.GetIdx()])
    return [max(1.0, order + shift) if order else 0.0 for order, shift in zip(orders, shifts, strict=True)]


def _is_p4(bond: Any) -> bool:
    """Return True for bonds of P4 and the like, which RDKit takes for aromatic: atoms of three rings of three."""
    ends = bond.GetBeginAtom(), bond.GetEndAtom()
    return bond.GetIsAromatic() and all(end.GetDegree() == 3 and end.GetAtomicNum() in (15, 33) for end in ends)


def _donates(bond: Any, atom: Any) -> bool:
    """Return True if the other end of a bond has an electron pair, or an unpaired electron, to share."""
    other = bond.GetOtherAtom(atom)
    is_radical = other.GetNumRadicalElectrons() == 1 and atom.GetNumRadicalElectrons() == 0
    return other.GetFormalCharge() < 0 or (is_radical and other.GetFormalCharge() == 0)


def _is_dative(bond: Any) -> bool:
    """Return True for bonds such as that of H3B-NH3, in which both electrons come from the positive atom."""
    charges = sorted(end.GetFormalCharge() for end in (bond.GetBeginAtom(), bond.GetEndAtom()))
    return str(bond.GetBondType()) == "DATIVE" or (charges[0] < 0 < charges[1] and bond.GetBondTypeAsDouble() == 1)


def covalent_radius(number: int, order: int) -> float:
    """Return the radius of an element at a whole order, in Å, or at the next lower order that it has."""
    while order > 1 and not (number < len(_RADII[order - 1]) and _RADII[order - 1][number]):
        order -= 1
    return _RADII[order - 1][number] / 100
