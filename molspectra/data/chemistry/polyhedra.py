"""Shapes about atoms with five or more electron pairs, or four in Br and I, which force fields do not know."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from molspectra.data.chemistry.elements import VALENCE_ELECTRONS

# Carbon to fluorine have no room for more than four electron pairs, and metals of groups 1 and 2 no fixed shape. Of the
# noble gases, Kr, Xe and Rn form bonds.
_ELECTRONS = {
    **{number: count for number, count in VALENCE_ELECTRONS.items() if count >= 3 and number not in range(6, 10)},
    **dict.fromkeys((36, 54, 86), 8),
}
_EQUATOR = [(math.cos(angle), math.sin(angle), 0.0) for angle in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
_POLES = [(0.0, 0.0, 1.0), (0.0, 0.0, -1.0)]
_CORNER = 3**-0.5
_TETRAHEDRON = [(_CORNER * x, _CORNER * y, _CORNER * x * y) for x, y in itertools.product((1, -1), repeat=2)]
_BIPYRAMID = [*_EQUATOR, *_POLES]  # lone pairs take places from the front
# Ligands → Å that bonds to the poles are longer: I3-, PhICl2, SF4, PF5. XeF2 has none.
_AXIAL = {2: 0.08, 3: 0.18, 4: 0.09, 5: 0.04}
_APICAL = {9: 0.2, **dict.fromkeys((7, 8, 17, 35), 0.1)}  # electronegative ligands prefer the poles
_OCTAHEDRON = [*_POLES, (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0)]
_PENTAGON = [(math.cos(2 * math.pi * k / 5), math.sin(2 * math.pi * k / 5), 0.0) for k in range(5)]
_PENTAGONAL_BIPYRAMID = [*_POLES, *_PENTAGON]
_LARGEST_CHELATE = 6  # atoms of a ring whose ends must be neighbors in the polyhedron


def ideal_distances(mol: Any, lengths: Sequence[float]) -> dict[tuple[int, int], float]:
    """Compute the distances among the ligands of each atom with five to seven electron pairs, and to the atom, in Å.

    By the rules of valence-shell electron pair repulsion (Gillespie and Nyholm 1957, Q. Rev. Chem. Soc. 11, 339):
    trigonal bipyramids (PCl5), see-saws (SF4), lines (XeF2, I3-), octahedra (SF6, PF6-), square pyramids (IF5), squares
    (XeF4) and pentagonal bipyramids (IF7). Metals have octahedra of six ligands and bipyramids of five.

    Args:
        mol: A sanitized RDKit molecule with all hydrogens.
        lengths: Length of each bond, Å.

    Returns:
        Pairs of atoms (i, j), i < j → distance.
    """
    distances = {}
    for atom in mol.GetAtoms():
        directions = _directions(atom)
        if directions is None:
            continue
        ligands = [neighbor.GetIdx() for neighbor in atom.GetNeighbors()]
        radii = [lengths[mol.GetBondBetweenAtoms(atom.GetIdx(), ligand).GetIdx()] for ligand in ligands]
        places = _arrange(mol, atom, ligands, directions)
        if directions == _BIPYRAMID[-len(ligands) :] and atom.GetAtomicNum() not in (1, 54):
            longer = _AXIAL[len(ligands)]
            radii = [radius + longer * abs(place[2]) for radius, place in zip(radii, places, strict=True)]
        positions = np.array(places) * np.array(radii)[:, None]
        for ligand, radius in zip(ligands, radii, strict=True):
            distances[_sorted(atom.GetIdx(), ligand)] = radius
        for i, j in itertools.combinations(range(len(ligands)), 2):
            distances[_sorted(ligands[i], ligands[j])] = float(np.linalg.norm(positions[i] - positions[j]))
    return distances


def centers(mol: Any) -> set[int]:
    """Return the atoms that have such a shape."""
    return {atom.GetIdx() for atom in mol.GetAtoms() if _directions(atom) is not None}


def _directions(atom: Any) -> list[tuple[float, float, float]] | None:
    """Return one direction for each ligand, or None for atoms with fewer or more electron pairs."""
    degree, electrons = atom.GetDegree(), _ELECTRONS.get(atom.GetAtomicNum())
    if atom.GetAtomicNum() == 1:
        return _POLES if degree == 2 else None  # HF2-
    if electrons is None:
        if atom.GetAtomicNum() <= 20 or degree not in (5, 6):
            return None
        return _BIPYRAMID if degree == 5 else _OCTAHEDRON
    lone_pairs = max(0, electrons - atom.GetFormalCharge() - round(atom.GetTotalValence())) // 2
    if degree == 6:  # also with a lone pair, as in TeCl6(2-)
        return _OCTAHEDRON
    if degree + lone_pairs == 4:  # IO4-, IO3-, XeO3. Force fields know the others
        return _TETRAHEDRON[lone_pairs:] if atom.GetAtomicNum() in (35, 53, 54) and degree > 2 else None
    shape = {5: _BIPYRAMID, 6: _OCTAHEDRON, 7: _PENTAGONAL_BIPYRAMID}.get(degree + lone_pairs)
    return None if shape is None else shape[lone_pairs:]


def _arrange(
    mol: Any, center: Any, ligands: Sequence[int], directions: Sequence[tuple[float, float, float]]
) -> Sequence[tuple[float, float, float]]:
    """Give each ligand a direction: the ends of small rings are neighbors, and multiple bonds are not on the axis."""
    rings = [set(ring) for ring in mol.GetRingInfo().AtomRings() if center.GetIdx() in ring]
    small = [ring for ring in rings if len(ring) <= _LARGEST_CHELATE]
    bound = [
        (i, j)
        for i, j in itertools.combinations(range(len(ligands)), 2)
        if any(ligands[i] in ring and ligands[j] in ring for ring in small)
    ]
    order = [mol.GetBondBetweenAtoms(center.GetIdx(), ligand).GetBondTypeAsDouble() for ligand in ligands]
    apical = [_APICAL.get(mol.GetAtomWithIdx(ligand).GetAtomicNum(), 0.0) for ligand in ligands]

    def cost(places: tuple[tuple[float, float, float], ...]) -> float:
        strain = sum(10.0 * (np.dot(places[i], places[j]) < -0.1) for i, j in bound)
        axial = sum(abs(place[2]) * (order[i] > 1) for i, place in enumerate(places))
        return strain + axial - sum(abs(place[2]) * apical[i] for i, place in enumerate(places))

    if not bound and len(set(zip(order, apical, strict=True))) == 1:
        return directions
    return min(_permutations(directions), key=cost)


def _permutations(
    directions: Sequence[tuple[float, float, float]],
) -> Iterator[tuple[tuple[float, float, float], ...]]:
    return itertools.permutations(directions)


def _sorted(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)
