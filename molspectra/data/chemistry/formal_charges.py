"""Formal charges of molecules that come with bonds but without charges.

RDKit's `DetermineBondOrders` assigns charges together with bond orders, from connectivity and the total charge. Here
the orders are known and the total charge is not. Trying total charges one by one and keeping the one that reproduces
the given orders was measured on the 80 molecules of tests/data/chemistry/test_conversion.py. It fails on 20, among them
salts, sulfoxides, ylides, PF6-, N,N'-dioxides, the theophylline anion and aromatic dications. So the octet rule stays
here for ordinary atoms, and RDKit decides, by placing double bonds, which charges an aromatic ring can have.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from molspectra.data.chemistry._rdkit import AROMATIC, assemble, import_rdkit
from molspectra.data.chemistry.elements import VALENCE_ELECTRONS

# Aromatic atoms whose charge changes how many double bonds the ring needs: (valence electrons, neighbors) → charges.
_ALTERNATIVES = {(5, 3): (1, 0), (6, 2): (1,), (5, 2): (-1,), (4, 3): (-1, 1)}
_CARBON_GROUP = 4

Bond = tuple[int, int, float]
_Neighbors = list[dict[int, float]]


def infer_formal_charges(numbers: Sequence[int], bonds: Sequence[Bond]) -> list[int]:
    """Infer the charges that give all atoms closed shells, assuming that all bonds and hydrogens are given.

    With v the sum of an atom's bond orders and g its valence electrons:

    * g up to 3 (and Zn, Cd, Hg): g - v, as for Na+ (no bonds), Mg2+, AlCl4-, BF4- and H+.
    * C, Si, Ge, Sn, Pb: -1 for v = 3 (carbanion, isocyanide, CO) and v = 5, -2 for v = 6, else 0 (v = 2: a carbene).
    * N, O, F and their groups: v + g - 8, the octet rule: +1 for N with 4 bonds, -1 for O with 1, Cl- for none.
    * Hypervalent (v > 4, and S, Se, Te with 4, I with 3): 0 where v - g is even, else -1 (PF6-) or +1 (sulfoxonium).
    * Transition metals, noble gases: 0.

    Aromatic systems get as few charges as allow double bonds to be placed and keep the system aromatic: on N and O
    before C, as in pyridinium, N-oxides, imidazolide, the cyclopentadienyl anion and the tropylium cation. Among
    equivalent resonance forms an arbitrary one is taken. Bonds alone do not identify radicals, carbocations outside of
    aromatic rings, hydride, bare transition-metal ions, hypervalent iodine(I) and charge-separated sulfones: their
    charges come out wrong.

    Args:
        numbers: Atomic number of each atom.
        bonds: Atoms i and j, and order (1, 1.5 for aromatic, 2, 3), of each bond, hydrogens included.

    Returns:
        Formal charge of each atom.

    Raises:
        ImportError: a bond is aromatic, and RDKit is not installed.

    Example:
        >>> infer_formal_charges([6, 7], [(0, 1, 3)])  # cyanide
        [-1, 0]
    """
    neighbors: _Neighbors = [{} for _ in numbers]
    for i, j, order in bonds:
        neighbors[i][j] = neighbors[j][i] = order
    charges = [0] * len(numbers)
    for atom, number in enumerate(numbers):
        if AROMATIC not in neighbors[atom].values():
            charges[atom] = _closed_shell_charge(number, int(sum(neighbors[atom].values())))
    for system in _aromatic_systems(neighbors):
        for atom, charge in _aromatic_charges(system, numbers, neighbors, charges).items():
            charges[atom] = charge
    return charges


def _closed_shell_charge(number: int, valence: int) -> int:
    electrons = VALENCE_ELECTRONS.get(number)
    if electrons is None:
        return 0
    if electrons < _CARBON_GROUP:
        return electrons - valence
    if electrons == _CARBON_GROUP:
        return -abs(valence - 4) if valence >= 3 else 0
    if valence > 4 or (valence == 4 and number in (16, 34, 52)) or (valence == 3 and number == 53):
        return 0 if (valence - electrons) % 2 == 0 else -1 if electrons == 5 else 1
    return valence + electrons - 8


def _aromatic_systems(neighbors: _Neighbors) -> Iterator[list[int]]:
    """Yield the sets of atoms that aromatic bonds connect."""
    seen: set[int] = set()
    for start, around in enumerate(neighbors):
        if start in seen or AROMATIC not in around.values():
            continue
        system, queue = {start}, [start]
        while queue:
            linked = {other for other, order in neighbors[queue.pop()].items() if order == AROMATIC}
            queue.extend(linked - system)
            system |= linked
        seen |= system
        yield sorted(system)


def _aromatic_charges(
    system: list[int], numbers: Sequence[int], neighbors: _Neighbors, charges: list[int]
) -> dict[int, int]:
    """Find the charges of one aromatic system, given those of the atoms around it."""
    base = {atom: _aromatic_base(atom, numbers, neighbors, charges) for atom in system}
    changes = [
        (atom, charge)
        for kind, alternatives in _ALTERNATIVES.items()
        for charge in alternatives
        for atom in system
        if (VALENCE_ELECTRONS.get(numbers[atom]), len(neighbors[atom])) == kind and base[atom] != charge
    ]
    on_heteroatoms = [change for change in changes if VALENCE_ELECTRONS[numbers[change[0]]] != _CARBON_GROUP]
    # No change, then one, then two: the fewest charges win.
    trials = itertools.chain([()], ((change,) for change in changes), itertools.combinations(on_heteroatoms, 2))
    fragment = _fragment(system, numbers, neighbors)
    possible = None
    for trial in trials:
        trial_charges = base | dict(trial)
        kekulized, aromatic = _place_double_bonds(fragment, trial_charges, system)
        if aromatic:
            return trial_charges
        if kekulized and possible is None:
            possible = trial_charges
    return base if possible is None else possible


def _aromatic_base(atom: int, numbers: Sequence[int], neighbors: _Neighbors, charges: list[int]) -> int:
    """Return the charge of an aromatic atom that its substituents imply."""
    kind = VALENCE_ELECTRONS.get(numbers[atom]), len(neighbors[atom])
    substituents = [other for other, order in neighbors[atom].items() if order != AROMATIC]
    if kind == (4, 2):
        return -1  # phenyl anion
    if kind == (5, 3) and any(charges[other] < 0 for other in substituents):
        return 1  # N-oxides, ylides
    if kind == (6, 3) and all(neighbors[atom][other] == 1 for other in substituents):
        return 1  # sulfonium
    return 0


def _fragment(system: list[int], numbers: Sequence[int], neighbors: _Neighbors) -> Any:
    """Build the molecule with only the bonds of one aromatic system, so that RDKit sees no other ring."""
    bonds = {(min(i, j), max(i, j)): order for i in system for j, order in neighbors[i].items()}
    return assemble(numbers, [(i, j, order) for (i, j), order in bonds.items()])


def _place_double_bonds(fragment: Any, charges: dict[int, int], system: list[int]) -> tuple[bool, bool]:
    """Check that double bonds can be placed with these charges, and that the same bonds are aromatic afterwards."""
    rdkit = import_rdkit("infer_formal_charges")
    trial = rdkit.Chem.RWMol(fragment)
    for atom in system:
        trial.GetAtomWithIdx(atom).SetFormalCharge(charges[atom])
    with rdkit.rdBase.BlockLogs():
        try:
            trial.UpdatePropertyCache(strict=False)
            rdkit.Chem.GetSymmSSSR(trial)
            rdkit.Chem.Kekulize(trial, clearAromaticFlags=True)
        except rdkit.Chem.MolSanitizeException:
            return False, False
        rdkit.Chem.SetAromaticity(trial)
    before = [bond.GetIsAromatic() for bond in fragment.GetBonds()]
    return True, before == [bond.GetIsAromatic() for bond in trial.GetBonds()]
