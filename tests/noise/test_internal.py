"""Noise on bonds, angles and torsions: published conformers, statistics and invariants."""

import math

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.geometry import internal_coordinates, topology, wrap_angle
from molspectra.noise import internal
from molspectra.noise.internal import InternalChange, apply_change, draw_change
from tests.conformers import IDS, TOPOLOGY, distances, prepared_molecule, rigid_parts, volumes


def with_topology(conformers, molecule):
    data = conformers.molecule(molecule)
    data.bond_index, data.angle_index, data.torsion_index = conformers.terms(molecule, clean=False)
    data.rotatable_index = conformers("frad/torsion_noise", molecule, "quads")
    data.parent_index, data.tree_span, data.bridge = topology.spanning_forest(data.bond_index, len(data.z))
    return data


def operations(conformers, file, molecule, prefix=""):
    kinds, atoms, values = (conformers(file, molecule, f"{prefix}{name}") for name in ("op_type", "op_index", "op_new"))
    atoms = atoms.t() if atoms.shape[0] == 4 and atoms.shape[1] == len(kinds) else atoms
    return [
        (kind, row, value) for kind, row, value in zip(kinds.tolist(), atoms.tolist(), values.tolist(), strict=True)
    ]


def column(index, atoms):
    """Column of the term with these atoms, read in either direction."""
    terms = [tuple(term) for term in index.t().tolist()]
    return terms.index(tuple(atoms)) if tuple(atoms) in terms else terms.index(tuple(atoms[::-1]))


def published_change(data, published, once):
    """Changes by the published operations, which set bonds, angles and torsions one after the other."""
    terms = data.bond_index, data.angle_index, data.torsion_index
    r, theta, _ = internal_coordinates(data.pos, *terms)
    change = InternalChange(
        torch.arange(len(data.z)), torch.zeros_like(r), torch.zeros_like(theta), data.pos.new_zeros(terms[2].shape[1])
    )
    for kind, atoms, value in published:
        if kind == 0:
            change.stretch[column(terms[0], atoms[:2])] += value - r[column(terms[0], atoms[:2])]
        elif kind == 1:
            change.arm[atoms[1]] = atoms[0]
            change.bend[column(terms[1], atoms[:3])] = math.radians(value) - theta[column(terms[1], atoms[:3])]
    # Opening angles also changes torsions. Their own changes count from there.
    phi = internal_coordinates(apply_change(data, change), *terms)[2]
    turned, drawn = {}, {}
    for kind, atoms, value in published:
        if kind != 2:
            continue
        term, bond = column(terms[2], atoms), tuple(atoms[1:3])
        drawn.setdefault(bond, term)
        before = turned.get(bond, 0.0)
        if not (once and before):
            turned[bond] = before + float(wrap_angle(math.radians(value) - phi[term] - before))
    for bond, amount in turned.items():
        change.twist[drawn[bond]] = amount
    return change


def assert_same_shape(pos, expected, tolerance):
    torch.testing.assert_close(distances(pos), distances(expected), rtol=0, atol=tolerance)
    torch.testing.assert_close(volumes(pos), volumes(expected), rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize(
    ("file", "prefix", "result", "once"),
    [
        ("frad/vrn_noise", "", "pos_vrn", False),
        ("frad/vrn_noise", "", "pos_vrn_once", True),
        ("slide/bat_noise", "", "pos_bat", False),
        ("slide/bat_noise", "rad_", "pos_rad", False),
    ],
    ids=["Frad", "Frad, each torsion once", "SliDe", "SliDe in radians"],
)
def test_published_conformers(conformers, file, prefix, result, once):
    """Up to the place in space, which depends on the order of the published operations."""
    for molecule in IDS:
        data = with_topology(conformers, molecule)
        change = published_change(data, operations(conformers, file, molecule, prefix), once)
        assert_same_shape(apply_change(data, change), conformers(file, molecule, result), 1e-9)


@pytest.mark.parametrize("molecule", IDS)
def test_released_draws_give_the_published_conformer(conformers, molecule, monkeypatch):
    """Published random numbers with degrees for radians, the arms of rings, and repeated rotation."""
    data = with_topology(conformers, molecule)
    published = operations(conformers, "slide/bat_noise", molecule)
    old = conformers("slide/bat_noise", molecule, "op_old").tolist()
    lots, bonds = torch.zeros(data.bond_index.shape), torch.zeros(data.bond_index.shape[1]).double()
    angles, torsions = (torch.zeros(index.shape[1]).double() for index in (data.angle_index, data.torsion_index))
    torsion_lots, seen = torch.full((len(torsions),), 0.5), set()
    for (kind, atoms, new), before in zip(published, old, strict=True):
        if kind == 0:
            bonds[column(data.bond_index, atoms[:2])] = new - before
        elif kind == 1:
            angles[column(data.angle_index, atoms[:3])] = new - before
            bond = column(data.bond_index, atoms[:2])
            lots[0 if data.bond_index[0, bond] == atoms[1] else 1, bond] = 1
        elif tuple(atoms[1:3]) not in seen:
            seen.add(tuple(atoms[1:3]))
            # The released code draws the change in degrees, which wraps at 360.
            torsions[column(data.torsion_index, atoms)] = (new - before + 180) % 360 - 180
            torsion_lots[column(data.torsion_index, atoms)] = 1
    draws = {"rand": iter([lots, torsion_lots]), "randn": iter([bonds, angles, torsions])}
    for name, values in draws.items():
        monkeypatch.setattr(internal.torch, name, lambda *_, values=values, **__: next(values))
    ones = [torch.ones_like(values) for values in (bonds, angles, torsions)]
    change = draw_change(data, *ones, as_released=True)
    # The published draws leave out torsions with a constant of 0 or less, and the lots above mark none of them.
    assert_same_shape(apply_change(data, change), conformers("slide/bat_noise", molecule, "pos_bat"), 1e-9)


def copies(smiles, number=3000):
    data = prepared_molecule(smiles)
    return data, Batch.from_data_list([data] * number)


def drawn(batch, bond_std=0.03, angle_std=0.05, torsion_std=0.4, **options):
    stds = zip(("bond_index", "angle_index", "torsion_index"), (bond_std, angle_std, torsion_std), strict=True)
    generator = torch.Generator().manual_seed(0)
    return draw_change(
        batch, *(torch.full((batch[name].shape[1],), std).double() for name, std in stds), generator, **options
    )


def measured(data, batch, pos):
    """Changes of all bonds, angles and torsions, (copies, terms) each."""
    terms = data.bond_index, data.angle_index, data.torsion_index
    before = internal_coordinates(data.pos, *terms)
    after = internal_coordinates(pos.view(-1, *data.pos.shape), *terms)
    return after[0] - before[0], after[1] - before[1], wrap_angle(after[2] - before[2])


def test_statistics_of_bonds_angles_and_torsions():
    """All terms of hydrogen peroxide are independent: each change is Gaussian, and uncorrelated with the others."""
    data, batch = copies("OO", 20_000)
    changes = torch.cat(measured(data, batch, apply_change(batch, drawn(batch))), dim=1)
    stds = torch.tensor([0.03] * 3 + [0.05] * 2 + [0.4]).double()
    assert changes.shape[1] == len(stds)
    standard = changes / stds
    error = 1 / math.sqrt(len(standard))
    assert (standard.mean(0).abs() < 5 * error).all()
    assert ((standard.T @ standard) / len(standard) - torch.eye(6)).abs().max() < 5 * math.sqrt(2) * error
    assert (standard.pow(4).mean(0) - 3).abs().max() < 5 * math.sqrt(96) * error
    # The normal distribution function maps the changes to uniform numbers.
    levels = np.sort(torch.special.ndtr(standard).numpy(), axis=0)
    assert np.abs(levels - np.linspace(0, 1, len(levels))[:, None]).max() < 2 * error


def test_one_arm_at_each_atom_chosen_at_random():
    data, batch = copies("CC", 4000)
    change = drawn(batch)
    arms = change.arm.view(-1, len(data.z)) - batch.ptr[:-1, None]
    neighbors = topology.neighbors(data.bond_index, len(data.z))
    for atom, around in enumerate(neighbors):
        share = torch.stack([(arms[:, atom] == neighbor).double().mean() for neighbor in around])
        assert (share - 1 / len(around)).abs().max() < 5 * math.sqrt(0.25 / 4000)
    # Three of the six angles at a carbon atom involve its arm, and have the given variance.
    bends = change.bend.view(-1, data.angle_index.shape[1])
    _, j, _ = data.angle_index
    assert ((bends != 0).sum(1) == 6).all()
    assert bends[bends != 0].std() == pytest.approx(0.05, rel=0.05)
    # Angles to the arm change by exactly the amount drawn.
    angle_changes = measured(data, batch, apply_change(batch, change))[1]
    torch.testing.assert_close(angle_changes[bends != 0], bends[bends != 0], rtol=0, atol=1e-12)
    assert (j < 2).all()


def test_one_torsion_a_bond_and_all_about_it_turn_alike():
    data, batch = copies("CC", 4000)
    change = drawn(batch, bond_std=0.0, angle_std=0.0)
    twists = change.twist.view(4000, 9)
    assert ((twists != 0).sum(1) == 1).all()
    assert ((twists != 0).double().mean(0) - 1 / 9).abs().max() < 5 * math.sqrt(0.1 / 4000)
    turned = measured(data, batch, apply_change(batch, change))[2]
    torch.testing.assert_close(turned, wrap_angle(twists.sum(1, keepdim=True)).expand(4000, 9), rtol=0, atol=1e-11)
    released = drawn(batch, bond_std=0.0, angle_std=0.0, as_released=True).twist.view(4000, 9)
    assert released[released != 0].std() == pytest.approx(
        3 * math.radians(0.4), rel=0.05
    )  # three hydrogens, three turns


def test_arms_in_rings():
    """The arm is one of the two ring bonds at random, as released the first, at any numbering."""
    data, batch = copies("C1CC1", 4000)
    around = topology.neighbors(data.bond_index, len(data.z))
    for as_released in (False, True):
        arms = drawn(batch, as_released=as_released).arm.view(-1, len(data.z)) - batch.ptr[:-1, None]
        for atom in range(3):
            in_ring = [neighbor for neighbor in around[atom] if neighbor < 3]
            share = (arms[:, atom] == in_ring[0]).double().mean().item()
            assert share == (1.0 if as_released else pytest.approx(0.5, abs=5 * math.sqrt(0.25 / 4000)))
            assert torch.isin(arms[:, atom], torch.tensor(in_ring)).all()


def test_rings_keep_their_shape():
    data, batch = copies("C1CC1CC1CC12CC2", 50)
    pos = apply_change(batch, drawn(batch)).view(50, -1, 3)
    for part in rigid_parts(data):
        for geometry in pos:
            torch.testing.assert_close(distances(geometry[part]), distances(data.pos[part]), rtol=0, atol=1e-12)
    stretches, *_ = measured(data, batch, pos)
    in_ring = topology.bonds_in_rings(data.bond_index, len(data.z))
    assert stretches[:, in_ring].abs().max() < 1e-12
    assert (stretches[:, ~in_ring].std(0) > 0.015).all()


def test_noisy_angles_are_reflected_at_pi():
    data, batch = copies("O", 4000)
    data.pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [math.cos(3), math.sin(3), 0]]).double()
    batch.pos = data.pos.repeat(4000, 1)
    change = drawn(batch, angle_std=0.3)
    theta = measured(data, batch, apply_change(batch, change))[1] + 3
    torch.testing.assert_close(theta[:, 0], 3 + change.bend, rtol=0, atol=1e-9)
    assert theta.max() <= math.pi
    assert theta.std() < 0.25


def test_bonds_and_angles_never_fall_below_zero():
    data, batch = copies("OO", 2000)
    change = drawn(batch, bond_std=1.0, angle_std=3.0)
    stretches, bends, _ = measured(data, batch, apply_change(batch, change))
    torch.testing.assert_close(stretches.flatten(), change.stretch, rtol=0, atol=1e-12)
    torch.testing.assert_close(bends.flatten(), change.bend, rtol=0, atol=1e-6)


def test_what_else_is_in_the_batch_does_not_matter():
    smiles = ["CCO", "[Na+]", "c1ccccc1CO", "OO"]
    molecules = [TOPOLOGY(ms.data.from_smiles(smile)) for smile in smiles]
    batch = Batch.from_data_list(molecules)
    change = drawn(batch)
    together = apply_change(batch, change)
    sizes = [[len(m.z), m.bond_index.shape[1], m.angle_index.shape[1], m.torsion_index.shape[1]] for m in molecules]
    parts = [values.split(list(lengths)) for values, lengths in zip(change, zip(*sizes, strict=True), strict=True)]
    for number, (molecule, *of_molecule) in enumerate(zip(molecules, *parts, strict=True)):
        arm, *amounts = of_molecule
        alone = apply_change(molecule, InternalChange(arm - batch.ptr[number], *amounts))
        torch.testing.assert_close(alone, together[batch.batch == number], rtol=0, atol=1e-6)
