"""What follows from bonds alone: angles, torsions, rings, rotatable bonds, hop distances, a spanning forest.

Nearly all functions take `bond_index` (2, B), each bond once, and the number of atoms N; they run on the CPU, once for
each molecule (:class:`molspectra.data.transforms.AddTopology` stores what they give), and take disconnected molecules
and lone atoms. The *degree* of an atom counts all its bonds, those to hydrogen too; its neighbours come in the order of
its bonds in `bond_index`. Which bonds rotate and what they move are the rules of the released Frad
(arXiv:2307.10683), which angles and torsions there are those of the released SliDe (arXiv:2311.02124).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class SpanningForest(NamedTuple):
    """A depth-first tree for each connected fragment, rooted at its first atom."""

    parent: Int[Tensor, " atoms"]
    """The atom through which each atom hangs on; a root is its own parent."""
    span: Int[Tensor, "atoms 2"]
    """Depth-first numbers [start, end) of all that hangs on each atom; `start` is the atom's own number."""
    bridge: Bool[Tensor, " atoms"]
    """Whether the bond of an atom to its parent is in no ring; all that hangs on the atom can then move as one."""


def angles(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> Int[Tensor, "3 angles"]:
    """All pairs of bonds at an atom: (i, j, k) with j in the middle, by ascending j."""
    terms = []
    for j, around in enumerate(neighbors(bond_index, num_atoms)):
        terms += [(i, j, k) for first, i in enumerate(around) for k in around[first + 1 :]]
    return _columns(terms, 3)


def torsions(bond_index: Int[Tensor, "2 bonds"], num_atoms: int, degenerate: bool = False) -> Int[Tensor, "4 torsions"]:
    """All chains of three bonds: (i, j, k, l) about the bond (j, k), in the order of the bonds.

    Args:
        bond_index: Bonds, (2, B).
        num_atoms: Number of atoms N.
        degenerate: Whether to list, as the released SliDe does, the chains with i = l that a ring of three closes on
            itself. Their angle is 0 whatever the geometry.
    """
    around = neighbors(bond_index, num_atoms)
    terms = []
    for j, k in bond_index.t().tolist():
        terms += [(i, j, k, l) for i in around[j] if i != k for l in around[k] if l != j and (degenerate or i != l)]
    return _columns(terms, 4)


def spanning_forest(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> SpanningForest:
    """A depth-first spanning tree of each fragment (see :class:`SpanningForest`).

    In a depth-first tree every bond outside of the tree joins an atom to one that it hangs on, so that the rings are
    found on the way: such a bond puts each bond of the path between its ends into a ring (Tarjan 1974).
    """
    around = neighbors(bond_index, num_atoms)
    parent, enter, leave = list(range(num_atoms)), [-1] * num_atoms, [0] * num_atoms
    bridge = [False] * num_atoms
    count = 0
    for root in range(num_atoms):
        if enter[root] >= 0:
            continue
        stack = [(root, iter(around[root]))]
        enter[root], count = count, count + 1
        while stack:
            atom, rest = stack[-1]
            for neighbor in rest:
                if enter[neighbor] < 0:
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
    """For pairs i-j: the atom that hangs on the other one, and whether it does so by a bond that is in no ring.

    Runs on the device of its arguments, without waiting for it. Where neither hangs on the other, the atom is i.
    """
    hangs = parent.index_select(0, j) == i
    child, other = torch.where(hangs, j, i), torch.where(hangs, i, j)
    joined = parent.index_select(0, child) == other
    return child, joined & bridge.index_select(0, child)


def bonds_in_rings(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> Bool[Tensor, " bonds"]:
    """Whether each bond is in a ring."""
    parent, _, bridge = spanning_forest(bond_index, num_atoms)
    return ~bridge_of(parent, bridge, *bond_index)[1]


def rings(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> list[list[int]]:
    """The atoms of each ring, of a smallest set of smallest rings (a minimum cycle basis), by size.

    Cages leave a choice of which rings to call smallest: the number and the sizes of the rings are always those of any
    other perception, their atoms need not be. Takes a second for about fifty rings fused into one sheet.
    """
    import networkx  # slow to import

    in_rings = bonds_in_rings(bond_index, num_atoms)
    graph = networkx.Graph(bond_index[:, in_rings].t().tolist())
    return sorted((sorted(ring) for ring in networkx.minimum_cycle_basis(graph)), key=lambda ring: (len(ring), ring))


def rotatable_bonds(
    bond_index: Int[Tensor, "2 bonds"],
    bond_order: Float[Tensor, " bonds"],
    num_atoms: int,
    ignored: Bool[Tensor, " atoms"] | None = None,
) -> Int[Tensor, "4 rotatable"]:
    """Rotatable bonds by the rule of the released Frad, with the torsion that measures each and the side that moves.

    A bond rotates if it is single, in no ring, and both its atoms have another neighbour and no triple bond. So methyl,
    hydroxyl and amine rotors count, and amide bonds, too; bonds next to C#C or C#N do not.

    Args:
        bond_index: Bonds, (2, B).
        bond_order: Their orders, (B,), 1.5 where aromatic.
        num_atoms: Number of atoms N.
        ignored: Atoms (N,) left out of the graph first, hydrogens for instance: their rotors then vanish.

    Returns:
        (4, R), ordered by the two atoms of the bond: rows (a, i, j, l) about the bond i-j, where all atoms on j's side
        are to move. a and l are the first other neighbours of i and j. As released i < j, but (l, j, i, a) where l is
        in a ring; this only decides in which frame the rotated molecule ends up.
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
        if min(len(around[i]), len(around[j])) < 2 or i in at_triple_bonds or j in at_triple_bonds:
            continue
        a = next(atom for atom in around[i] if atom != j)
        l = next(atom for atom in around[j] if atom != i)
        terms.append((l, j, i, a) if l in ring_atoms else (a, i, j, l))
    return _columns(terms, 4)


def rotatable_depths(
    bond_index: Int[Tensor, "2 bonds"], rotatable_index: Int[Tensor, "4 rotatable"], num_atoms: int
) -> Int[Tensor, " rotatable"]:
    """How many rotatable bonds lie between each one and the end of the molecule it is counted from; the first has 1.

    Rotatable bonds cut a molecule into rigid fragments, which form a tree. Counting starts, in each connected part,
    from the fragment with the fewest rotatable bonds, of these the one with the fewest atoms, of these the first.
    """
    rotatable = rotatable_index[1:3].t().tolist()
    bridges = {frozenset(bond) for bond in rotatable}
    rigid = [bond for bond in bond_index.t().tolist() if frozenset(bond) not in bridges]
    around = neighbors(_columns(rigid, 2), num_atoms)
    fragment, sizes = [-1] * num_atoms, list[int]()
    for atom in range(num_atoms):
        if fragment[atom] < 0:
            members = hops_from(atom, around)
            for member in members:
                fragment[member] = len(sizes)
            sizes.append(len(members))
    ends = [[fragment[i], fragment[j]] for i, j in rotatable]
    tree = neighbors(_columns(ends, 2), len(sizes))
    depth: dict[int, int] = {}
    for first in range(len(sizes)):
        if first not in depth:
            root = min(hops_from(first, tree), key=lambda node: (len(tree[node]), sizes[node], node))
            depth |= hops_from(root, tree)
    return torch.tensor([max(depth[one], depth[other]) for one, other in ends], dtype=torch.int64)


def hop_pairs(
    bond_index: Int[Tensor, "2 bonds"], num_atoms: int, max_hops: int = 3
) -> tuple[Int[Tensor, "2 pairs"], Int[Tensor, " pairs"]]:
    """Pairs of atoms at most `max_hops` bonds apart, each once with i < j, and how many bonds apart they are."""
    around = neighbors(bond_index, num_atoms)
    found = [(i, j, hops) for i in range(num_atoms) for j, hops in hops_from(i, around, max_hops).items() if j > i]
    i, j, hops = _columns(sorted(found), 3)
    return torch.stack([i, j]), hops


def hops_from(start: int, around: list[list[int]], max_hops: int | None = None) -> dict[int, int]:
    """Nodes that are reached from a node of a graph, and in how many hops, by breadth-first search."""
    hops, frontier, hop = {start: 0}, {start}, 0
    while frontier and hop != max_hops:
        frontier = {neighbor for node in frontier for neighbor in around[node]} - hops.keys()
        hop += 1
        hops |= dict.fromkeys(frontier, hop)
    return hops


def neighbors(bond_index: Int[Tensor, "2 bonds"], num_atoms: int) -> list[list[int]]:
    """Neighbours of each atom, in the order of the bonds."""
    around: list[list[int]] = [[] for _ in range(num_atoms)]
    for i, j in bond_index.t().tolist():
        around[i].append(j)
        around[j].append(i)
    return around


def _columns(terms: Iterable[Sequence[int]], rows: int) -> Tensor:
    return torch.tensor(list(terms), dtype=torch.int64).reshape(-1, rows).t().contiguous()
