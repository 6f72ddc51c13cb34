"""Stretching, bending and twisting of molecules at all of their bridge bonds at once."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from molspectra._validation import check_tensors, values_are_free
from molspectra.geometry.rotation import rotation_components


def deform(
    pos: Float[Tensor, "atoms 3"],
    parent: Int[Tensor, " atoms"],
    bridge: Bool[Tensor, " atoms"],
    *,
    twist: Float[Tensor, " atoms"],
    stretch: Float[Tensor, " atoms"] | None = None,
    bend: Float[Tensor, "2 atoms"] | None = None,
    arm: Int[Tensor, " atoms"] | None = None,
    max_atoms: int | None = None,
) -> Float[Tensor, "atoms 3"]:
    """Change bond lengths, bond angles and torsions by given amounts, moving the subtree of each bond as a rigid body.

    The changes of atom c belong to its bond with its parent p. If that bond is a bridge (`bridge[c]`), it lengthens by
    `stretch[c]`, its angle with the arm of p opens by `bend[0, c]`, its angle with the arm of c opens by `bend[1, c]`,
    and the torsions about it grow by `twist[c]`. Changes at other bonds are ignored. Angles between other bonds, to
    which the arm is not party, change only as they must.

    In the body frames of its two ends each change is a fixed motion, independent of the order of changes and of changes
    elsewhere. The result therefore equals that of moving one side of each bond after the other, up to a rigid motion of
    the whole molecule. Here the root of each tree (its first atom, with all atoms rigidly joined to it) stays in place.
    The motions are multiplied along the paths from the roots by pointer doubling, in log₂(depth) steps. On the CPU the
    depth is looked up. On a device, where this would stall it, `max_atoms` bounds it.

    Args:
        pos: Positions in Å, (N, 3), of one molecule or of a batch.
        parent: Parent of each atom in a spanning tree, (N,). Roots are their own (see `topology.SpanningForest`).
        bridge: Marks the atoms whose bond to their parent is a bridge (in no ring), (N,).
        twist: Change of the torsions about each bond in rad, (N,).
        stretch: Change of each bond length in Å, (N,), or None.
        bend: Change of the angles at the parent's and at the atom's own end of each bond in rad, (2, N), or None.
            Angles must stay within 0 and π. Three atoms exactly on a line do not bend.
        arm: The neighbor of each atom against which its angles open, (N,), or the atom itself for none. Needed for
            bends.
        max_atoms: Number of atoms of the largest molecule, or None for all atoms as one molecule.

    Returns:
        Positions (N, 3), differentiable with respect to positions and changes.

    Raises:
        ValueError: `bend` is given without `arm`.
    """
    check_tensors(pos=pos, parent=parent, bridge=bridge, twist=twist)
    # Cartesian components come first: elementwise products of 3×3 matrices are several times faster than batched
    # matrix products.
    x = pos.t().contiguous()
    along = x - x.index_select(1, parent)
    # The motion from the frame of a child to that of its parent, before the change, is a translation by `along`. A
    # twist about the bond adds a rotation, a stretch lengthens the translation.
    axes, angles = [along], [torch.where(bridge, twist, 0.0)]
    offset = along
    if stretch is not None:
        length = torch.linalg.vector_norm(along, dim=0)
        offset = along * (1 + torch.where(bridge, stretch, 0.0) / torch.where(length > 0, length, 1.0))
    if bend is not None:
        if arm is None:
            raise ValueError("bend needs arm (N,), the neighbors against which angles open; got None. Pass both.")
        arms = x.index_select(1, arm) - x
        # A bond makes no angle with itself, where it is the arm.
        atoms = torch.arange(len(parent), device=parent.device)
        at_parent = torch.where(bridge & (arm.index_select(0, parent) != atoms), bend[0], 0.0)
        at_child = torch.where(bridge & (arm != parent), bend[1], 0.0)
        # Rotations about the normal of the plane of bond and arm. The one at the parent's end acts last, since it moves
        # the whole bond. The one at the child's end moves the child's subtree only.
        axes += [torch.linalg.cross(arms.index_select(1, parent), along, dim=0), torch.linalg.cross(along, arms, dim=0)]
        angles += [at_parent, -at_child]
    turns = rotation_components(torch.stack(axes, dim=1), torch.stack(angles)).unbind(2)
    turn = turns[0]
    if bend is not None:
        _, outer, inner = turns
        turn = _multiply(outer, _multiply(turn, inner))
        offset = _apply(outer, offset)

    # The motion [turn | offset] leads from the frame of an atom to that of `ancestor`: first its parent, finally its
    # root. Each step composes it with that of the ancestor, which doubles the distance.
    motion = torch.cat([turn, offset.unsqueeze(1)], dim=1)
    ancestor = parent
    # In a molecule of n atoms, a root is at most n - 1 bonds away, and the first ancestor is one bond away.
    most = len(parent) if max_atoms is None else max_atoms
    for _ in range((most - 2).bit_length() if most > 2 else 0):
        above = motion.index_select(2, ancestor)
        motion = _multiply(above[:, :3], motion)
        motion[:, 3] += above[:, 3]
        ancestor = ancestor.index_select(0, ancestor)
        if values_are_free(ancestor) and torch.equal(ancestor, parent.index_select(0, ancestor)):
            break  # All have arrived. On a device, where this look would stall it, further steps change nothing.
    return (x.index_select(1, ancestor) + motion[:, 3]).t().contiguous()


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    return (a.unsqueeze(2) * b.unsqueeze(0)).sum(1)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix * vector.unsqueeze(0)).sum(1)
