"""Stretching, bending and twisting molecules at the bonds that are in no ring, all of them at once."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from molspectra._validation import values_are_free
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
) -> Float[Tensor, "atoms 3"]:
    """Change bond lengths, bond angles and torsions by given amounts; what hangs on a bond follows as a rigid body.

    The changes of atom c belong to its bond with its parent p. If that bond is a bridge (`bridge[c]`), it lengthens by
    `stretch[c]`, its angle with the arm of p opens by `bend[0, c]`, its angle with the arm of c opens by `bend[1, c]`,
    and the torsions about it grow by `twist[c]`. Changes at other bonds are ignored. Angles between other bonds, to
    which the arm is not party, change only as they must.

    In the body frames of its two ends each change is a fixed motion, whatever the order in which changes are made and
    whatever happens elsewhere. So the result is what moving one side of the bond after the other would give, up to the
    place of the whole: here the root of each tree (its first atom, and all that is rigidly joined to it) stays where it
    is. The motions are multiplied along the way from the roots by doubling the distance, with log₂(depth) steps.

    Args:
        pos: Positions in Å, (N, 3), of one molecule or of a batch.
        parent: Parent of each atom in a spanning tree, (N,); roots are their own (see `topology.SpanningForest`).
        bridge: Marks the atoms whose bond to their parent is a bridge (in no ring), (N,).
        twist: rad, (N,).
        stretch: Å, (N,); None for none.
        bend: rad, (2, N), at the parent's and at the atom's own end; None for none. Angles may pass neither 0 nor π,
            and there is no bending of three atoms exactly on a line.
        arm: The neighbour of each atom against which its angles are bent, (N,), for bends; the atom itself for none.

    Returns:
        Positions (N, 3), differentiable by positions and changes.

    Raises:
        ValueError: there are bends without arms.
    """
    # Components first: products of 3×3 matrices are several times faster elementwise than as batched matrix products.
    x = pos.t().contiguous()
    along = x - x.index_select(1, parent)
    turn = rotation_components(along, torch.where(bridge, twist, 0.0))
    offset = along
    if stretch is not None:
        length = torch.linalg.vector_norm(along, dim=0)
        offset = along * (1 + torch.where(bridge, stretch, 0.0) / torch.where(length > 0, length, 1.0))
    if bend is not None:
        if arm is None:
            raise ValueError("bend needs arm (N,), the neighbours against which angles open; got None. Pass both.")
        arms = x.index_select(1, arm) - x
        # A bond makes no angle with itself.
        atoms = torch.arange(len(parent), device=parent.device)
        at_parent = torch.where(bridge & (arm.index_select(0, parent) != atoms), bend[0], 0.0)
        at_child = torch.where(bridge & (arm != parent), bend[1], 0.0)
        outer = rotation_components(torch.linalg.cross(arms.index_select(1, parent), along, dim=0), at_parent)
        inner = rotation_components(torch.linalg.cross(along, arms, dim=0), -at_child)
        turn = _multiply(outer, _multiply(turn, inner))
        offset = _apply(outer, offset)

    # turn and offset lead from the frame of an atom to that of `ancestor`: first its parent, in the end its root.
    ancestor = parent
    for _ in range((len(parent) - 1).bit_length()):
        above = turn.index_select(2, ancestor)
        offset = offset.index_select(1, ancestor) + _apply(above, offset)
        turn = _multiply(above, turn)
        ancestor = ancestor.index_select(0, ancestor)
        if values_are_free(ancestor) and torch.equal(ancestor, parent.index_select(0, ancestor)):
            break  # all have arrived; where looking would stall a device, further steps change nothing
    return (x.index_select(1, ancestor) + offset).t().contiguous()


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    return (a.unsqueeze(2) * b.unsqueeze(0)).sum(1)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix * vector.unsqueeze(0)).sum(1)
