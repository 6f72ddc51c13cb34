"""Symbols of the elements, and the elements that a SMILES names."""

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

SYMBOLS = (
    *("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca"),
    *("Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y"),
    *("Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce"),
    *("Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir"),
    *("Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm"),
    *("Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc"),
    *("Lv", "Ts", "Og"),
)
"""Symbol of the element of atomic number 1, 2, …, 118."""

ATOMIC_NUMBERS: Mapping[str, int] = MappingProxyType({symbol: number for number, symbol in enumerate(SYMBOLS, 1)})
"""Symbol → atomic number."""

_GROUPS = {
    1: (1, 3, 11, 19, 37, 55),
    2: (4, 12, 20, 30, 38, 48, 56, 80),
    3: (5, 13, 31, 49, 81),
    4: (6, 14, 32, 50, 82),
    5: (7, 15, 33, 51, 83),
    6: (8, 16, 34, 52),
    7: (9, 17, 35, 53),
}
VALENCE_ELECTRONS: Mapping[int, int] = MappingProxyType(
    {number: electrons for electrons, numbers in _GROUPS.items() for number in numbers}
)
"""Atomic number → valence electrons of main-group elements but noble gases. Group 12 behaves like group 2."""

# In brackets: an isotope, then the symbol. Outside: the organic subset, lower case if aromatic.
_ATOM = re.compile(r"\[\d*([A-Z][a-z]?|[a-z][a-z]?)[^\]]*\]|(Cl|Br|[BCNOPSFI]|[bcnops])")


def atomic_number(symbol: str) -> int:
    """Return the atomic number of a symbol such as "Cl".

    Raises:
        ValueError: no element has this symbol.
    """
    if symbol not in ATOMIC_NUMBERS:
        raise ValueError(f"{symbol!r} is not the symbol of an element.")
    return ATOMIC_NUMBERS[symbol]


def heavy_atoms(smiles: str) -> Counter[int]:
    """Count the heavy atoms of a SMILES by element, without RDKit: a cheap test that two records belong together.

    Args:
        smiles: A valid SMILES.

    Returns:
        Atomic number → number of atoms.

    Example:
        >>> heavy_atoms("[13CH3]c1ccc[nH]1")
        Counter({6: 5, 7: 1})
    """
    numbers: Counter[int] = Counter()
    for match in _ATOM.finditer(smiles):
        symbol = match[1] or match[2]
        number = ATOMIC_NUMBERS.get(symbol.capitalize()) or ATOMIC_NUMBERS.get(symbol[0].upper(), 0)
        if number > 1:
            numbers[number] += 1
    return numbers
