"""Frad's and SliDe's noise one molecule and one term at a time, with RDKit's functions that read and set a conformer.

Molecules are RDKit molecules with one conformer, which is read and never changed. A term is a tuple of two (bond),
three (angle) or four (torsion) atoms. Å and rad. RDKit is imported inside functions, as it need not be installed.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

Term = tuple[int, ...]

# Two atoms, neither at a triple bond nor at the end of a chain, joined by a single bond that is in no ring.
_ROTATABLE = "[!$(*#*)&!D1]-&!@[!$(*#*)&!D1]"


def listed_terms(data: Data) -> list[Term]:
    """The bonds, then the angles, then the torsions of a molecule."""
    return [tuple(term) for name in ("bond", "angle", "torsion") for term in data[f"{name}_index"].t().tolist()]


def with_positions(mol: Any, pos: np.ndarray) -> Any:
    """A copy of the molecule at other positions, (N, 3)."""
    from rdkit.Chem import Mol

    moved = Mol(mol)
    moved.GetConformer().SetPositions(pos)
    return moved


def rotatable_torsions(mol: Any) -> list[Term]:
    """(a, i, j, l) for each rotatable bond i-j, by substructure search; (l, j, i, a) if l is in a ring."""
    torsions = []
    for i, j in sorted(map(sorted, mol.GetSubstructMatches(_rotatable_pattern()))):
        a = next(atom.GetIdx() for atom in mol.GetAtomWithIdx(i).GetNeighbors() if atom.GetIdx() != j)
        l = next(atom.GetIdx() for atom in mol.GetAtomWithIdx(j).GetNeighbors() if atom.GetIdx() != i)
        torsions.append((l, j, i, a) if mol.GetAtomWithIdx(l).IsInRing() else (a, i, j, l))
    return torsions


def rotate(mol: Any, torsions: Sequence[Term], turns: Sequence[float]) -> np.ndarray:
    """Positions (N, 3) with each torsion increased by its turn. The side of the last atom moves."""
    from rdkit.Chem import Mol, rdMolTransforms

    conformer = Mol(mol).GetConformer()
    before = [rdMolTransforms.GetDihedralDeg(conformer, *torsion) for torsion in torsions]
    for torsion, start, turn in zip(torsions, before, turns, strict=True):
        rdMolTransforms.SetDihedralDeg(conformer, *torsion, start + math.degrees(turn))
    return conformer.GetPositions()


def draw_vibration(
    mol: Any,
    generator: np.random.Generator,
    rotatable: Sequence[Term],
    bond_std: float = 0.058,
    angle_std: float = 0.129,
    rotatable_std: float = 1.0,
    torsion_std: float = 0.18,
    repeated: bool = False,
) -> list[tuple[Term, float]]:
    """Terms to change, in the order of the released Frad, each with the amount.

    `repeated`: turn each bond j-k once for every neighbour of k other than j, as released, instead of once.
    """
    rings = [set(ring) for ring in mol.GetRingInfo().AtomRings()]
    around = [[neighbor.GetIdx() for neighbor in atom.GetNeighbors()] for atom in mol.GetAtoms()]
    free = {frozenset(torsion[1:3]) for torsion in rotatable}

    def share_a_ring(i: int, j: int) -> bool:
        return any(i in ring and j in ring for ring in rings)

    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    bonds = [bond for bond in bonds if not share_a_ring(*bond)]
    changes: list[tuple[Term, float]] = [(bond, generator.normal(0, bond_std)) for bond in bonds]
    for j, neighbors in enumerate(around):
        if len(neighbors) < 2:
            continue
        in_ring = [i for i in neighbors if share_a_ring(i, j)]
        arm = in_ring[0] if in_ring else neighbors[generator.integers(len(neighbors))]
        moved = [k for k in neighbors if k != arm and k not in in_ring]
        changes += [((arm, j, k), generator.normal(0, angle_std)) for k in moved]
    for j, k in bonds:
        before, after = [i for i in around[j] if i != k], [l for l in around[k] if l != j]
        if before and after:
            i, l = before[generator.integers(len(before))], after[generator.integers(len(after))]
            turn = generator.normal(0, rotatable_std if frozenset((j, k)) in free else torsion_std)
            changes += [((i, j, k, end), turn) for end in (after if repeated else [l])]
    return changes


def vibrate(mol: Any, changes: Sequence[tuple[Term, float]]) -> np.ndarray:
    """Positions (N, 3) with bonds, angles and torsions changed one after the other; the last atom's side moves.

    Angles beyond π are reflected; those that would be 0 or less are left as they were.
    """
    from rdkit.Chem import Mol, rdMolTransforms

    conformer = Mol(mol).GetConformer()
    for term, change in changes:
        if len(term) == 2:
            length = rdMolTransforms.GetBondLength(conformer, *term)
            rdMolTransforms.SetBondLength(conformer, *term, length + change)
        elif len(term) == 3:
            angle = rdMolTransforms.GetAngleDeg(conformer, *term) + math.degrees(change)
            angle = 360 - angle if angle >= 180 else angle
            if angle > 0:
                rdMolTransforms.SetAngleDeg(conformer, *term, angle)
        else:
            torsion = rdMolTransforms.GetDihedralDeg(conformer, *term)
            rdMolTransforms.SetDihedralDeg(conformer, *term, torsion + math.degrees(change))
    return conformer.GetPositions()


def internal_coordinates(mol: Any, terms: Sequence[Term]) -> np.ndarray:
    """Value of each term, Å or rad."""
    return _read(mol.GetConformer(), terms)


def term_gradients(mol: Any, reference: Any, terms: Sequence[Term], constants: np.ndarray) -> np.ndarray:
    """∂E/∂d = k (d - d₀) of each term of E = ½ Σ k (d - d₀)², d₀ from `reference`, torsion differences wrapped."""
    return constants * _change(internal_coordinates(reference, terms), internal_coordinates(mol, terms), terms)


def sliced_gradient(
    mol: Any, terms: Sequence[Term], gradients: np.ndarray, slices: np.ndarray, step: float = 0.001
) -> np.ndarray:
    """∇E (N, 3) at the conformer by least squares, from finite differences along random directions.

    Args:
        mol: Molecule at x, where the gradient is wanted.
        terms: Bonds, angles and torsions, D of them.
        gradients: ∂E/∂d of each, (D,).
        slices: Directions v, (S, N, 3). All terms are read at x and at each x + h v.
        step: h in Å.
    """
    from rdkit.Chem import Mol

    conformer = Mol(mol).GetConformer()
    pos, before = conformer.GetPositions(), _read(conformer, terms)
    along = []
    for direction in slices:
        conformer.SetPositions(pos + step * direction)
        along.append(gradients @ _change(before, _read(conformer, terms), terms) / step)
    # PyTorch's solver, unlike NumPy's, heeds torch.set_num_threads.
    matrix, right = torch.from_numpy(slices.reshape(len(slices), -1)), torch.tensor(along).unsqueeze(1)
    return torch.linalg.lstsq(matrix, right, driver="gelsd").solution.reshape(-1, 3).numpy()


@functools.cache
def _rotatable_pattern() -> Any:
    from rdkit import Chem

    return Chem.MolFromSmarts(_ROTATABLE)


def _read(conformer: Any, terms: Sequence[Term]) -> np.ndarray:
    from rdkit.Chem import rdMolTransforms

    getters = {2: rdMolTransforms.GetBondLength, 3: rdMolTransforms.GetAngleDeg, 4: rdMolTransforms.GetDihedralDeg}
    values = np.array([getters[len(term)](conformer, *term) for term in terms])
    return np.where([len(term) == 2 for term in terms], values, np.radians(values))


def _change(before: np.ndarray, after: np.ndarray, terms: Sequence[Term]) -> np.ndarray:
    change = after - before
    return np.where([len(term) == 4 for term in terms], (change + np.pi) % (2 * np.pi) - np.pi, change)
