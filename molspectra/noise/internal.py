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
from molspectra.data._pyg import most_atoms_of
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
    return _draw(data, find_bridges(data), bond_std, angle_std, torsion_std, generator, as_released)


def apply_change(data: Data, change: InternalChange) -> Float[Tensor, "atoms 3"]:
    """Return the positions (N, 3) with changed internal coordinates. Each molecule keeps its first atom in place."""
    return _apply(data, find_bridges(data), change)


class Bridges(NamedTuple):
    """Children in the spanning forest of the bonds in all terms, and marks of those that are bridges."""

    of_bonds: tuple[Int[Tensor, " bonds"], Bool[Tensor, " bonds"]]
    """Children and marks of the bonds."""
    of_sides: tuple[Int[Tensor, "2 angles"], Bool[Tensor, "2 angles"]]
    """Children and marks of both bonds (i, j) and (j, k) of each angle."""
    of_torsions: tuple[Int[Tensor, " torsions"], Bool[Tensor, " torsions"]]
    """Children and marks of the central bond of each torsion."""


def find_bridges(data: Data) -> Bridges:
    """Look the bonds of all terms up in the spanning forest at once."""
    bonds, angles, torsions = (data[name] for name in ("bond_index", "angle_index", "torsion_index"))
    sizes = [bonds.shape[1], 2 * angles.shape[1], torsions.shape[1]]
    found = bridge_bonds(data, torch.cat([bonds, angles[:2], angles[1:], torsions[1:3]], dim=1))
    (child, side, middle), (bridge, of_side, of_middle) = (values.split(sizes) for values in found)
    both = 2, angles.shape[1]
    return Bridges((child, bridge), (side.unflatten(0, both), of_side.unflatten(0, both)), (middle, of_middle))


def perturb(
    data: Data,
    std: Float[Tensor, " terms"],
    generator: torch.Generator | None = None,
    as_released: bool = False,
    bridges: Bridges | None = None,
) -> Float[Tensor, "atoms 3"]:
    """Return positions (N, 3) after a random change (:func:`draw_change`), with stds of bonds, angles and torsions."""
    bridges = find_bridges(data) if bridges is None else bridges
    sizes = [data[name].shape[1] for name in ("bond_index", "angle_index", "torsion_index")]
    bond_std, angle_std, torsion_std = std.split(sizes)
    change = _draw(data, bridges, bond_std, angle_std, torsion_std, generator, as_released)
    return _apply(data, bridges, change)


def _draw(
    data: Data,
    bridges: Bridges,
    bond_std: Tensor,
    angle_std: Tensor,
    torsion_std: Tensor,
    generator: torch.Generator | None,
    as_released: bool,
) -> InternalChange:
    pos, (i, j, k) = data.pos, data.angle_index
    options = {"generator": generator, "dtype": pos.dtype, "device": pos.device}
    with record_function("molspectra::internal_noise.draw"):
        ends = torch.rand(data.bond_index.shape, **options)
        noise_r, noise_theta, noise_phi = (
            torch.randn(std.shape, **options) for std in (bond_std, angle_std, torsion_std)
        )
        torsion_lots = torch.rand(torsion_std.shape, **options)
        # The release hands radians to RDKit's functions in degrees: angles become 57 times too small.
        unit = torch.pi / 180 if as_released else 1.0

        is_bridge = bridges.of_bonds[1]
        child, can_twist = bridges.of_torsions
        at_end, at_torsion = _pick_arms_and_torsions(data, bridges, ends, torsion_lots, as_released)
        # Start from the atom itself, which stays for atoms without bonds, and add the way to the drawn neighbor.
        atom, neighbor = data.bond_index.flatten(), data.bond_index.flip(0).flatten()
        arm = torch.arange(pos.shape[0], device=pos.device)
        arm = arm.index_add(0, atom, torch.where(at_end, neighbor - atom, 0))

        r, theta, _ = internal_coordinates(pos, data.bond_index, data.angle_index, data.torsion_index[:, :0])
        stretch = bond_std * noise_r
        # A length of 0 or less would turn the bond around.
        stretch = torch.where(is_bridge & (r + stretch > 0), stretch, 0.0)

        noisy = theta + unit * angle_std * noise_theta
        # An angle of π + δ is the angle π - δ on the other side of the arm.
        noisy = torch.where(noisy > torch.pi, 2 * torch.pi - noisy, noisy)
        # An angle opens if one of its bonds is the arm and the other one a bridge.
        from_i, from_k = bridges.of_sides[1]
        fixed = arm.index_select(0, j)
        opens = ((fixed == i) & from_k) | ((fixed == k) & from_i)
        bend = torch.where(opens & (noisy > 0), noisy - theta, 0.0)

        # All torsions about a bond grow together, so that only one of them has noise of its own.
        twist = unit * torsion_std * noise_phi
        if as_released:
            twist = twist * (_degrees(data)[data.torsion_index[2]] - 1)
        twist = torch.where(can_twist & at_torsion, twist, 0.0)
    return InternalChange(arm, stretch, bend, twist)


def _apply(data: Data, bridges: Bridges, change: InternalChange) -> Tensor:
    num_atoms = data.pos.shape[0]
    with record_function("molspectra::internal_noise.apply"):
        i, j, k = data.angle_index
        moves_i = change.arm.index_select(0, j) == k
        (child_i, child_k), (bridge_i, bridge_k) = bridges.of_sides
        child = torch.where(moves_i, child_i, child_k)
        bend = torch.where(torch.where(moves_i, bridge_i, bridge_k), change.bend, 0.0)
        # A bend belongs to the end of the bond where its vertex j is: to the parent's end if j is the parent of the
        # moved atom, to the child's own end if j hangs on the moved atom.
        end = torch.where(child == j, num_atoms, 0)
        # Rows of one table: bends at the parent's and at the own end, stretches, twists.
        place = torch.cat([child + end, bridges.of_bonds[0] + 2 * num_atoms, bridges.of_torsions[0] + 3 * num_atoms])
        values = torch.cat([bend, change.stretch, change.twist]).to(data.pos.dtype)
        table = data.pos.new_zeros(4 * num_atoms).index_add(0, place, values).view(4, num_atoms)
        return deform(
            data.pos,
            data.parent_index,
            data.bridge,
            twist=table[3],
            stretch=table[2],
            bend=table[:2],
            arm=change.arm,
            max_atoms=most_atoms_of(data),
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


def _pick_arms_and_torsions(
    data: Data, bridges: Bridges, ends: Tensor, torsion_lots: Tensor, as_released: bool
) -> tuple[Tensor, Tensor]:
    """Mark the drawn end of a bond for each atom, (2B,), and the drawn torsion for each central bond, (T,).

    An atom draws its arm from its neighbors, in a ring from its neighbors in the ring (as released the first). Lots are
    uniform in [0, 1), `ends` (2, B) for each end of a bond.
    """
    num_atoms, num_bonds = data.pos.shape[0], data.bond_index.shape[1]
    in_ring = ~bridges.of_bonds[1].repeat(2)
    score = ends.flatten().to(torch.float64)
    if as_released:
        first = num_bonds - torch.arange(num_bonds, device=score.device).repeat(2)
        score = torch.where(in_ring, first.to(torch.float64), score)
    child, can_twist = bridges.of_torsions
    # Ring bonds come before all bridges, whose score is below 1.
    scores = torch.cat([score + in_ring, torch.where(can_twist, torsion_lots, -1.0)])
    groups = torch.cat([data.bond_index.flatten(), child + num_atoms])
    return _pick_one(groups, scores, 2 * num_atoms).split([2 * num_bonds, len(child)])


def _pick_one(group: Tensor, score: Tensor, num_groups: int) -> Tensor:
    """Mark the member with the highest score in each group, the last one of equals, without waiting for the device."""
    best = score.new_full((num_groups,), -torch.inf).scatter_reduce(0, group, score, "amax")
    number = torch.arange(len(group), device=group.device)
    last = number.new_full((num_groups,), -1)
    last = last.scatter_reduce(0, group, torch.where(score == best.index_select(0, group), number, -1), "amax")
    return number == last.index_select(0, group)
