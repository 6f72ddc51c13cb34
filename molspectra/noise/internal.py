"""Gaussian noise on bond lengths, bond angles and torsions: the chemical part of Frad's vibration mode and of SliDe."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch_geometric.data import Data

from molspectra.geometry.deformation import deform
from molspectra.geometry.internal_coordinates import internal_coordinates
from molspectra.geometry.topology import bridge_of

ROTORS = ("rotatable_index", "parent_index", "bridge")
TOPOLOGY = ("bond_index", "angle_index", "torsion_index", *ROTORS)
REMEDY = "Add them to each molecule with molspectra.data.transforms.AddTopology(), as (pre_)transform of the data set."


class InternalChange(NamedTuple):
    """By how much each internal coordinate of a batch is to change; see :func:`draw_change`."""

    arm: Int[Tensor, " atoms"]
    """The neighbour of each atom that keeps its place when angles at the atom open; the atom itself for none."""
    stretch: Float[Tensor, " bonds"]
    """Å."""
    bend: Float[Tensor, " angles"]
    """rad; angles to which the arm is not party follow from the others."""
    twist: Float[Tensor, " torsions"]
    """rad; one torsion of each bond is drawn, and all others about that bond grow by as much."""


def draw_change(
    data: Data,
    bond_std: Float[Tensor, " bonds"],
    angle_std: Float[Tensor, " angles"],
    torsion_std: Float[Tensor, " torsions"],
    generator: torch.Generator | None = None,
    as_released: bool = False,
) -> InternalChange:
    """Draw independent Gaussian changes for the bonds, angles and torsions that can be changed on their own.

    Those are: each bond in no ring; at each atom, the angles between one bond, its *arm*, drawn at random (in a ring,
    from the bonds of the ring), and each other bond in no ring; and for each bond in no ring one torsion about it,
    drawn from those listed. Noisy angles beyond π are reflected; angles and lengths that would fall below 0 are left as
    they were. Nothing leaves the plane that it makes with its arm: what a planar ring carries stays in its plane.

    Args:
        data: A `Data` or `Batch` with the topology.
        bond_std: Standard deviations in Å, (B,).
        angle_std: rad, (A,).
        torsion_std: rad, (T,).
        generator: Source of randomness, on the device of the data.
        as_released: As Frad's journal version and SliDe were released: the numbers for angles and torsions count in
            degrees, each torsion is turned once for every neighbour but one of the second atom of its bond, and the arm
            of an atom in a ring is its first ring bond.
    """
    pos, (i, j, k) = data.pos, data.angle_index
    options = {"generator": generator, "dtype": pos.dtype, "device": pos.device}
    arm = _draw_arms(data, torch.rand(data.bond_index.shape, **options), as_released)
    unit = torch.pi / 180 if as_released else 1.0

    r, theta, _ = internal_coordinates(pos, data.bond_index, data.angle_index, data.torsion_index[:, :0])
    stretch = bond_std * torch.randn(bond_std.shape, **options)
    stretch = torch.where(
        bridge_of(data.parent_index, data.bridge, *data.bond_index)[1] & (r + stretch > 0), stretch, 0.0
    )

    noisy = theta + unit * angle_std * torch.randn(angle_std.shape, **options)
    noisy = torch.where(noisy > torch.pi, 2 * torch.pi - noisy, noisy)
    fixed = arm.index_select(0, j)
    moved = torch.where(fixed == i, k, i)
    can_bend = ((fixed == i) | (fixed == k)) & (noisy > 0) & bridge_of(data.parent_index, data.bridge, j, moved)[1]
    bend = torch.where(can_bend, noisy - theta, 0.0)

    child, can_twist = bridge_of(data.parent_index, data.bridge, *data.torsion_index[1:3])
    twist = unit * torsion_std * torch.randn(torsion_std.shape, **options)
    lots = torch.rand(torsion_std.shape, **options)
    drawn = can_twist & _pick_one(child, torch.where(can_twist, lots, -1.0), pos.shape[0])
    if as_released:
        twist = twist * (_degrees(data)[data.torsion_index[2]] - 1)
    return InternalChange(arm, stretch, bend, torch.where(drawn, twist, 0.0))


def apply_change(data: Data, change: InternalChange) -> Float[Tensor, "atoms 3"]:
    """Positions (N, 3) of the molecules with their internal coordinates changed; each keeps its first atom in place."""
    _, j, k = data.angle_index
    moved = torch.where(change.arm.index_select(0, j) == k, data.angle_index[0], k)
    child, is_bridge = bridge_of(data.parent_index, data.bridge, j, moved)
    upward = child == j  # the atom at the vertex hangs on the one that moves
    bend_above = at_atoms(data, child, torch.where(is_bridge & ~upward, change.bend, 0.0))
    bend_below = at_atoms(data, child, torch.where(is_bridge & upward, change.bend, 0.0))
    return deform(
        data.pos,
        data.parent_index,
        data.bridge,
        twist=at_atoms(data, bridge_of(data.parent_index, data.bridge, *data.torsion_index[1:3])[0], change.twist),
        stretch=at_atoms(data, bridge_of(data.parent_index, data.bridge, *data.bond_index)[0], change.stretch),
        bend=torch.stack([bend_above, bend_below]),
        arm=change.arm,
    )


def at_atoms(data: Data, atom: Int[Tensor, " n"], value: Shaped[Tensor, " n"]) -> Float[Tensor, " atoms"]:
    """Sums (N,), in the dtype of the positions, of the values that belong to each atom."""
    return torch.zeros_like(data.pos[:, 0]).index_add(0, atom, value.to(data.pos.dtype))


def _degrees(data: Data) -> Tensor:
    ends = data.bond_index.flatten()
    return at_atoms(data, ends, torch.ones_like(ends))


def _draw_arms(data: Data, lots: Tensor, as_released: bool) -> Tensor:
    """The arm of each atom: a neighbour at random, in a ring one of those in the ring (the first, as released)."""
    num_atoms, num_bonds = data.pos.shape[0], data.bond_index.shape[1]
    atom, neighbor = data.bond_index.flatten(), data.bond_index.flip(0).flatten()
    in_ring = ~bridge_of(data.parent_index, data.bridge, *data.bond_index)[1].repeat(2)
    score = lots.flatten().to(torch.float64)
    if as_released:
        first = num_bonds - torch.arange(num_bonds, device=atom.device).repeat(2)
        score = torch.where(in_ring, first.to(torch.float64), score)
    score = torch.where(in_ring, 1 + score, score)
    drawn = _pick_one(atom, score, num_atoms)
    return torch.arange(num_atoms, device=atom.device).index_add(0, atom, torch.where(drawn, neighbor - atom, 0))


def _pick_one(group: Tensor, score: Tensor, num_groups: int) -> Tensor:
    """Mark the member of each group that has the highest score; of equals, the last. Without waiting for the device."""
    best = score.new_full((num_groups,), -torch.inf).scatter_reduce(0, group, score, "amax")
    number = torch.arange(len(group), device=group.device)
    last = number.new_full((num_groups,), -1)
    last = last.scatter_reduce(0, group, torch.where(score == best.index_select(0, group), number, -1), "amax")
    return number == last.index_select(0, group)
