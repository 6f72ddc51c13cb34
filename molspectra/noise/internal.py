"""Gaussian noise on bond lengths, bond angles and torsions: the chemical noise of Frad's vibration mode and of SliDe.

A bond in no ring is a *bridge* (:mod:`molspectra.geometry.topology`): it can stretch, bend and twist without opening a
ring, and the atoms on one side of it follow as a rigid body.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._repr import fields_repr
from molspectra.geometry.deformation import deform
from molspectra.geometry.internal_coordinates import internal_coordinates
from molspectra.geometry.topology import bridge_of

ROTORS = ("rotatable_index", "parent_index", "bridge")
TOPOLOGY = ("bond_index", "angle_index", "torsion_index", *ROTORS)
REMEDY = "Add them to each molecule with molspectra.data.transforms.AddTopology(), as (pre_)transform of the data set."


class InternalChange(NamedTuple):
    """Changes of the internal coordinates of a batch (see :func:`draw_change`)."""

    arm: Int[Tensor, " atoms"]
    """Neighbor of each atom that stays in place when angles at the atom open, or the atom itself for none."""
    stretch: Float[Tensor, " bonds"]
    """Changes of bond lengths in Å."""
    bend: Float[Tensor, " angles"]
    """Changes of bond angles in rad. Angles to which the arm is not party follow from the others."""
    twist: Float[Tensor, " torsions"]
    """Changes of torsions in rad. One torsion per bond is drawn, and all torsions about the bond grow by as much."""

    def __repr__(self) -> str:
        return fields_repr(self)


def draw_change(
    data: Data,
    bond_std: Float[Tensor, " bonds"],
    angle_std: Float[Tensor, " angles"],
    torsion_std: Float[Tensor, " torsions"],
    generator: torch.Generator | None = None,
    as_released: bool = False,
) -> InternalChange:
    """Draw independent Gaussian changes of the bonds, angles and torsions that can change on their own.

    * Every bridge stretches.
    * At each atom one bond, its *arm*, is drawn at random (in a ring, from the bonds of the ring). The angles between
      the arm and each bridge at the atom open.
    * Every bridge twists by the change of one torsion about it, drawn from the listed ones.

    Noisy angles beyond π are reflected. Angles and lengths that would fall below 0 keep their value. Bonds bend within
    the plane of their arm, so that the substituents of a planar ring stay in its plane.

    Args:
        data: A `Data` or `Batch` with the topology.
        bond_std: Standard deviations in Å, (B,).
        angle_std: Standard deviations in rad, (A,).
        torsion_std: Standard deviations in rad, (T,).
        generator: Source of randomness, on the device of the data.
        as_released: Reproduce the released code of Frad's journal version and of SliDe. Standard deviations of angles
            and torsions count in degrees. A torsion is turned once for every neighbor but one of the second atom of its
            bond. The arm of an atom in a ring is its first ring bond.
    """
    pos, (i, j, k) = data.pos, data.angle_index
    options = {"generator": generator, "dtype": pos.dtype, "device": pos.device}
    with record_function("molspectra::internal_noise.draw"):
        arm = _draw_arms(data, torch.rand(data.bond_index.shape, **options), as_released)
        # The release hands radians to RDKit's functions in degrees: angles become 57 times too small.
        unit = torch.pi / 180 if as_released else 1.0

        r, theta, _ = internal_coordinates(pos, data.bond_index, data.angle_index, data.torsion_index[:, :0])
        stretch = bond_std * torch.randn(bond_std.shape, **options)
        # A length of 0 or less would turn the bond around.
        stretch = torch.where(bridge_bonds(data, data.bond_index)[1] & (r + stretch > 0), stretch, 0.0)

        noisy = theta + unit * angle_std * torch.randn(angle_std.shape, **options)
        # An angle of π + δ is the angle π - δ on the other side of the arm.
        noisy = torch.where(noisy > torch.pi, 2 * torch.pi - noisy, noisy)
        fixed = arm.index_select(0, j)
        moved = torch.where(fixed == i, k, i)
        # An angle opens if one of its bonds is the arm and the other one a bridge.
        at_arm, is_bridge = (fixed == i) | (fixed == k), bridge_bonds(data, torch.stack([j, moved]))[1]
        bend = torch.where(at_arm & (noisy > 0) & is_bridge, noisy - theta, 0.0)

        # All torsions about a bond grow together, so that only one of them has noise of its own.
        child, can_twist = bridge_bonds(data, data.torsion_index[1:3])
        twist = unit * torsion_std * torch.randn(torsion_std.shape, **options)
        lots = torch.rand(torsion_std.shape, **options)
        drawn = can_twist & _pick_one(child, torch.where(can_twist, lots, -1.0), pos.shape[0])
        if as_released:
            twist = twist * (_degrees(data)[data.torsion_index[2]] - 1)
        twist = torch.where(drawn, twist, 0.0)
    return InternalChange(arm, stretch, bend, twist)


def apply_change(data: Data, change: InternalChange) -> Float[Tensor, "atoms 3"]:
    """Return the positions (N, 3) with changed internal coordinates. Each molecule keeps its first atom in place."""
    with record_function("molspectra::internal_noise.apply"):
        _, j, k = data.angle_index
        moved = torch.where(change.arm.index_select(0, j) == k, data.angle_index[0], k)
        child, is_bridge = bridge_bonds(data, torch.stack([j, moved]))
        # A bend belongs to the end of the bond where its vertex j is: to the parent's end if j is the parent of the
        # moved atom, to the child's own end if j hangs on the moved atom.
        at_own_end = child == j
        bend_parent = at_atoms(data, child, torch.where(is_bridge & ~at_own_end, change.bend, 0.0))
        bend_own = at_atoms(data, child, torch.where(is_bridge & at_own_end, change.bend, 0.0))
        return deform(
            data.pos,
            data.parent_index,
            data.bridge,
            twist=at_atoms(data, bridge_bonds(data, data.torsion_index[1:3])[0], change.twist),
            stretch=at_atoms(data, bridge_bonds(data, data.bond_index)[0], change.stretch),
            bend=torch.stack([bend_parent, bend_own]),
            arm=change.arm,
        )


def bridge_bonds(data: Data, pairs: Int[Tensor, "2 n"]) -> tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]:
    """Find the child of each pair in the spanning forest of `data`, and mark the pairs that are bridges."""
    return bridge_of(data.parent_index, data.bridge, *pairs)


def at_atoms(data: Data, atom: Int[Tensor, " n"], value: Shaped[Tensor, " n"]) -> Float[Tensor, " atoms"]:
    """Sum the values that belong to each atom, (N,), in the dtype of the positions."""
    return torch.zeros_like(data.pos[:, 0]).index_add(0, atom, value.to(data.pos.dtype))


def _degrees(data: Data) -> Tensor:
    """Count the bonds of each atom, (N,)."""
    ends = data.bond_index.flatten()
    return at_atoms(data, ends, torch.ones_like(ends))


def _draw_arms(data: Data, lots: Tensor, as_released: bool) -> Tensor:
    """Draw the arm of each atom from its neighbors, in a ring from its neighbors in the ring (as released the first).

    `lots` (2, B) are uniform in [0, 1), one for each end of a bond.
    """
    num_atoms, num_bonds = data.pos.shape[0], data.bond_index.shape[1]
    atom, neighbor = data.bond_index.flatten(), data.bond_index.flip(0).flatten()
    in_ring = ~bridge_bonds(data, data.bond_index)[1].repeat(2)
    score = lots.flatten().to(torch.float64)
    if as_released:
        first = num_bonds - torch.arange(num_bonds, device=atom.device).repeat(2)
        score = torch.where(in_ring, first.to(torch.float64), score)
    # Ring bonds come before all bridges, whose score is below 1.
    score = torch.where(in_ring, 1 + score, score)
    drawn = _pick_one(atom, score, num_atoms)
    # Start from the atom itself, which stays for atoms without bonds, and add the way to the drawn neighbor.
    return torch.arange(num_atoms, device=atom.device).index_add(0, atom, torch.where(drawn, neighbor - atom, 0))


def _pick_one(group: Tensor, score: Tensor, num_groups: int) -> Tensor:
    """Mark the member with the highest score in each group, the last one of equals, without waiting for the device."""
    best = score.new_full((num_groups,), -torch.inf).scatter_reduce(0, group, score, "amax")
    number = torch.arange(len(group), device=group.device)
    last = number.new_full((num_groups,), -1)
    last = last.scatter_reduce(0, group, torch.where(score == best.index_select(0, group), number, -1), "amax")
    return number == last.index_select(0, group)
