"""Consequences of the bonds alone: angles, torsions, bridges and rings, rotatable bonds, a spanning forest.

A *bridge* is a bond in no ring. Removing it disconnects its molecule, so that one side can move against the other.

Nearly all functions take `bond_index` (2, B), each bond once, and the number of atoms N. They run on the CPU, once per
molecule (:class:`molspectra.data.transforms.AddTopology` stores their results), and accept disconnected molecules and
lone atoms. The neighbors of an atom come in the order of its bonds in `bond_index`, hydrogens included. The rules for
rotatable bonds and the side they move are those of the released Frad (arXiv:2307.10683). The lists of angles and
torsions are those of the released SliDe (arXiv:2311.02124).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from molspectra._validation import check_tensors, checked

__all__ = [
    "SpanningForest",
    "angles",
    "bonds_in_rings",
    "bridge_of",
    "neighbors",
    "rotatable_bonds",
    "rotatable_depths",
    "spanning_forest",
    "torsions",
]


def __dir__() -> list[str]:
    return __all__


class SpanningForest(NamedTuple):
    """A depth-first tree of each connected fragment, rooted at its first atom."""

    parent: Int[Tensor, " atoms"]
    """Parent of each atom. A root is its own parent."""
    span: Int[Tensor, "atoms 2"]
    """Depth-first numbers [start, end) of each atom's subtree. `start` is the atom's own number."""
    bridge: Bool[Tensor, " atoms"]
    """Marks the atoms whose bond to their parent is a bridge. Their subtree can move as a rigid body."""


@checked
def angles(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> Int[Tensor, "3 angles"]:
    """List all pairs of bonds at an atom: (i, j, k) with j in the middle, by ascending j."""
    terms = []
    for j, around in enumerate(neighbors(bond_index, num_atoms)):
        terms += [(i, j, k) for first, i in enumerate(around) for k in around[first + 1 :]]
    return _columns(terms, 3)


@checked
def torsions(bond_index: Int[Tensor, "2 bonds"], num_atoms: int, degenerate: bool = False) -> Int[Tensor, "4 torsions"]:
    """List all chains of three bonds: (i, j, k, l) about the bond (j, k), in the order of the bonds.

    Args:
        bond_index: Bonds, (2, B).
        num_atoms: Number of atoms N.
        degenerate: Include chains with i = l, which close a ring of three, as the released SliDe does. Their torsion is
            0 at any geometry.
    """
    around = neighbors(bond_index, num_atoms)
    terms = []
    for j, k in bond_index.t().tolist():
        terms += [(i, j, k, l) for i in around[j] if i != k for l in around[k] if l != j and (degenerate or i != l)]
    return _columns(terms, 4)


@checked
def spanning_forest(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> SpanningForest:
    """Build a depth-first spanning tree of each fragment and find its bridges (Tarjan 1974).

    In a depth-first tree, every bond outside the tree joins an atom to one of its ancestors. Such a bond closes a ring
    of all tree bonds on the path between its ends. Tree bonds on no such path are bridges.
    """
    around = neighbors(bond_index, num_atoms)
    parent, enter, leave = list(range(num_atoms)), [-1] * num_atoms, [0] * num_atoms
    bridge = [False] * num_atoms
    count = 0
    for root in range(num_atoms):
        if enter[root] >= 0:  # visited from an earlier root
            continue
        # An explicit stack, because recursion would fail on long chains.
        stack = [(root, iter(around[root]))]
        enter[root], count = count, count + 1
        while stack:
            atom, rest = stack[-1]
            for neighbor in rest:
                if enter[neighbor] < 0:
                    # A tree bond counts as a bridge until a ring is found to contain it.
                    parent[neighbor], bridge[neighbor] = atom, True
                    enter[neighbor], count = count, count + 1
                    stack.append((neighbor, iter(around[neighbor])))
                    break
                if neighbor != parent[atom] and enter[neighbor] < enter[atom]:  # closes a ring
                    on_path = atom
                    while on_path != neighbor:
                        bridge[on_path] = False
                        on_path = parent[on_path]
            else:
                leave[atom] = count
                stack.pop()
    span = torch.tensor([enter, leave]).t().contiguous()
    return SpanningForest(torch.tensor(parent).long(), span.long(), torch.tensor(bridge).bool())


def bridge_of(
    parent: Int[Tensor, " atoms"], bridge: Bool[Tensor, " atoms"], i: Int[Tensor, " n"], j: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]:
    """Find the child of each pair i-j in the spanning forest, and mark the pairs that are bridges.

    Runs on the device of its arguments, without waiting for it.

    Args:
        parent: Parent of each atom, (N,) (see :class:`SpanningForest`).
        bridge: Marks the atoms whose bond to their parent is a bridge, (N,).
        i: First atom of each pair, (n,).
        j: Second atom of each pair, (n,).

    Returns:
        The child of each pair, (n,), or i where neither atom is the parent of the other, and a mask of the pairs that
        are bridges, (n,).
    """
    check_tensors(parent=parent, bridge=bridge)
    hangs = parent.index_select(0, j) == i
    child, other = torch.where(hangs, j, i), torch.where(hangs, i, j)
    joined = parent.index_select(0, child) == other
    return child, joined & bridge.index_select(0, child)


@checked
def bonds_in_rings(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> Bool[Tensor, " bonds"]:
    """Mark the bonds in rings: all bonds except bridges."""
    parent, _, bridge = spanning_forest(bond_index, num_atoms)
    return ~bridge_of(parent, bridge, *bond_index)[1]


@checked
def rotatable_bonds(
    bond_index: Int[Tensor, "2 bonds"],
    bond_order: Float[Tensor, " bonds"],
    num_atoms: int,
    ignored: Bool[Tensor, " atoms"] | None = None,
) -> Int[Tensor, "4 rotatable"]:
    """Find rotatable bonds by the rule of the released Frad, each as the torsion that measures its rotation.

    A bond rotates if it is single and a bridge, and if both its atoms have another neighbor and no triple bond. Methyl,
    hydroxyl, amine and amide bonds therefore rotate. Bonds next to C#C or C#N do not.

    Args:
        bond_index: Bonds, (2, B).
        bond_order: Bond orders, (B,), 1.5 for aromatic bonds.
        num_atoms: Number of atoms N.
        ignored: Atoms to remove from the graph first, (N,). Without hydrogens, for instance, methyl and hydroxyl groups
            no longer rotate.

    Returns:
        (4, R), ordered by the two atoms of the bond: rows (a, i, j, l) about the bond i-j, where all atoms on j's side
        move. a and l are the first other neighbors of i and j. As released i < j, but (l, j, i, a) where l is in a
        ring. This order only decides in which frame the rotated molecule ends up.
    """
    if ignored is not None:
        kept = ~ignored[bond_index].any(dim=0)
        bond_index, bond_order = bond_index[:, kept], bond_order[kept]
    around = neighbors(bond_index, num_atoms)
    in_ring = bonds_in_rings(bond_index, num_atoms)
    ring_atoms = set(bond_index[:, in_ring].flatten().tolist())
    at_triple_bonds = set(bond_index[:, bond_order == 3].flatten().tolist())
    candidates = bond_index[:, (bond_order == 1) & ~in_ring].sort(dim=0).values.t().tolist()
    terms = []
    for i, j in sorted(candidates):
        # A terminal atom has no torsion to measure, and rotation about a linear C-C≡X axis changes no torsion.
        if min(len(around[i]), len(around[j])) < 2 or i in at_triple_bonds or j in at_triple_bonds:
            continue
        a = next(atom for atom in around[i] if atom != j)
        l = next(atom for atom in around[j] if atom != i)
        terms.append((l, j, i, a) if l in ring_atoms else (a, i, j, l))
    return _columns(terms, 4)


@checked
def rotatable_depths(
    bond_index: Int[Tensor, "2 bonds"], rotatable_index: Int[Tensor, "4 rotatable"], num_atoms: int
) -> Int[Tensor, " rotatable"]:
    """Count the rotatable bonds on each path from one end of the molecule, starting with 1.

    Rotatable bonds cut a molecule into rigid fragments, which form a tree. In each connected part, counting starts from
    the fragment with the fewest rotatable bonds. Ties go to the fragment with fewer atoms, then to the first.
    """
    rotatable = rotatable_index[1:3].t().tolist()
    rotates = {frozenset(bond) for bond in rotatable}
    rigid = [bond for bond in bond_index.t().tolist() if frozenset(bond) not in rotates]
    around = neighbors(_columns(rigid, 2), num_atoms)
    # Rigid fragments: the connected components of the graph without its rotatable bonds.
    fragment, sizes = [-1] * num_atoms, list[int]()
    for atom in range(num_atoms):
        if fragment[atom] < 0:
            members = _hops_from(atom, around)
            for member in members:
                fragment[member] = len(sizes)
            sizes.append(len(members))
    # The tree of fragments, joined by rotatable bonds. The depth of a bond is that of its farther fragment.
    ends = [[fragment[i], fragment[j]] for i, j in rotatable]
    tree = neighbors(_columns(ends, 2), len(sizes))
    depth: dict[int, int] = {}
    for first in range(len(sizes)):
        if first not in depth:
            root = min(_hops_from(first, tree), key=lambda node: (len(tree[node]), sizes[node], node))
            depth |= _hops_from(root, tree)
    return torch.tensor([max(depth[one], depth[other]) for one, other in ends], dtype=torch.int64)


@checked
def neighbors(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> list[list[int]]:
    """List the neighbors of each atom, in the order of the bonds."""
    around: list[list[int]] = [[] for _ in range(num_atoms)]
    for i, j in bond_index.t().tolist():
        around[i].append(j)
        around[j].append(i)
    return around


def _hops_from(start: int, around: list[list[int]]) -> dict[int, int]:
    """Return the nodes reached from a node of a graph with their distance in hops, by breadth-first search."""
    hops, frontier, hop = {start: 0}, {start}, 0
    while frontier:
        frontier = {neighbor for node in frontier for neighbor in around[node]} - hops.keys()
        hop += 1
        hops |= dict.fromkeys(frontier, hop)
    return hops


def _columns(terms: Iterable[Sequence[int]], rows: int) -> Tensor:
    return torch.tensor(list(terms), dtype=torch.int64).reshape(-1, rows).t().contiguous()
