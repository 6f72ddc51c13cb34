"""Frad's noise: published conformers, statistics of both modes, and the fallback to coordinate noise."""

import math

import pytest
import torch
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.geometry import internal_coordinates, rotate_torsions, wrap_angle
from molspectra.noise import FradNoise, frad
from tests.conformers import IDS, TOPOLOGY, distances, prepared_molecule, volumes

FLEXIBLE = "OCC(=O)CC=CCl"


def changes(data, pos):
    """Changes of bonds, angles, rotatable and all torsions, (copies, terms) each."""
    torsions = torch.cat([data.rotatable_index, data.torsion_index], dim=1)
    before = internal_coordinates(data.pos, data.bond_index, data.angle_index, torsions)
    after = internal_coordinates(pos.view(-1, *data.pos.shape), data.bond_index, data.angle_index, torsions)
    turns = wrap_angle(after[2] - before[2])
    return (
        after[0] - before[0],
        after[1] - before[1],
        *turns.split([data.rotatable_index.shape[1], data.torsion_index.shape[1]], dim=1),
    )


@pytest.mark.parametrize("size", ["s2", "s20", "big"])
def test_published_draws(conformers, size, monkeypatch):
    """Published draws give the published positions, up to their place in space, by the released arithmetic."""
    std = {"s2": 2, "s20": 20, "big": 100}[size]
    for name in IDS:
        data = TOPOLOGY(conformers.molecule(name))
        noise, turns = (conformers("frad/torsion_noise", name, f"{size}.{key}") for key in ("coord_noise", "delta_deg"))
        draws = iter([turns / std, torch.zeros_like(noise).double()])
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *_, draws=draws, **__: next(draws))
            released = FradNoise(0.04, rotatable_std=math.radians(std), as_released=True)
            noisy = released(data)
        expected = conformers("frad/torsion_noise", name, f"{size}.pos_rot")
        torch.testing.assert_close(distances(noisy.pos), distances(expected), rtol=0, atol=1e-11)
        torch.testing.assert_close(volumes(noisy.pos), volumes(expected), rtol=0, atol=1e-10)
        # In the published frame coordinate noise gives the published input and target.
        data.pos = rotate_torsions(data, turns.deg2rad()).float()
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *_, noise=noise, **__: noise)
            patch.setattr(released, "conformation", lambda data, _: data.pos)
            released.coord.std = 1.0
            noisy = released(data)
        assert torch.equal(noisy.pos, conformers("frad/torsion_noise", name, f"{size}.pos_final"))
        assert torch.equal(noisy.pos_target, conformers("frad/torsion_noise", name, f"{size}.target"))


def test_torsion_mode_turns_rotatable_bonds_and_nothing_else(generator):
    data = prepared_molecule(FLEXIBLE)
    batch = Batch.from_data_list([data] * 3000)
    pos = FradNoise(rotatable_std=0.3).conformation(batch, generator())
    stretches, bends, turns, _ = changes(data, pos)
    assert stretches.abs().max() < 1e-12
    assert bends.abs().max() < 1e-12
    assert turns.shape[1] == 4
    standard = turns / 0.3
    error = 1 / math.sqrt(3000)
    assert standard.mean(0).abs().max() < 5 * error
    assert ((standard.T @ standard) / 3000 - torch.eye(4)).abs().max() < 5 * math.sqrt(2) * error


def test_only_the_coordinate_noise_is_the_target(generator):
    data = prepared_molecule(FLEXIBLE)
    batch = Batch.from_data_list([data] * 500)
    noise = FradNoise(0.04)
    noisy = noise(batch, generator())
    # The same draws give the conformation alone. The difference is the target.
    torch.testing.assert_close(noisy.pos - noise.conformation(batch, generator()), noisy.pos_target)
    assert noisy.pos_target.std() == pytest.approx(0.04, rel=0.02)
    assert torch.equal(batch.pos, data.pos.repeat(500, 1))
    assert noise.rotatable_std == pytest.approx(math.radians(2))


@pytest.mark.parametrize("smiles", ["O", "[Na+]", "[H][H]", "O=C=O", "c1ccccc1", "C1CC1"])
def test_molecules_without_a_rotatable_bond_get_coordinate_noise_only(smiles, generator):
    data = prepared_molecule(smiles)
    assert data.rotatable_index.shape == (4, 0)
    noisy = FradNoise()(data, generator())
    torch.testing.assert_close(noisy.pos - noisy.pos_target, data.pos, rtol=0, atol=1e-14)
    released = FradNoise(mode="vibration", as_released=True)(data, generator())
    torch.testing.assert_close(released.pos - released.pos_target, data.pos, rtol=0, atol=1e-14)


def test_vibration_mode_in_the_units_of_the_paper(generator):
    data = prepared_molecule(FLEXIBLE)
    batch = Batch.from_data_list([data] * 3000)
    noise = FradNoise(mode="vibration", rotatable_std=0.5)
    stretches, _, turns, all_turns = changes(data, noise.conformation(batch, generator()))
    assert (stretches.std(0) / 0.058 - 1).abs().max() < 0.08
    # Bending other arms also changes a torsion. About the C=C bond the sum is slightly above 0.18 rad.
    assert (turns.std(0) > 0.45).all()
    double = (data.bond_order == 2).nonzero().flatten()
    ends = [set(data.bond_index[:, bond].tolist()) for bond in double]
    about_double = torch.tensor([set(pair) in ends for pair in data.torsion_index[1:3].t().tolist()])
    stiff = FradNoise(mode="vibration", rotatable_std=0.5, angle_std=0.0)
    all_turns = changes(data, stiff.conformation(batch, generator()))[3]
    assert (all_turns[:, about_double].std(0) / 0.18 - 1).abs().max() < 0.08
    assert (all_turns[:, ~about_double].std(0) / 0.5 - 1).abs().max() < 0.08


def test_vibration_as_released_counts_degrees_and_turns_again_and_again(generator):
    data = prepared_molecule("CC")
    batch = Batch.from_data_list([data] * 3000)
    noise = FradNoise(mode="vibration", as_released=True)
    stretches, bends, turns, _ = changes(data, noise.conformation(batch, generator()))
    assert stretches.std() == pytest.approx(0.058, rel=0.05)
    assert bends.std() < math.radians(0.3)
    # 1 rad taken for 1°, three times for the three hydrogens.
    assert turns.std() == pytest.approx(math.radians(3), rel=0.08)


def test_decay(generator):
    data = prepared_molecule("OCCCCO")
    batch = Batch.from_data_list([data] * 3000)
    turns = changes(data, FradNoise(rotatable_std=0.3, decay=0.5).conformation(batch, generator()))[2]
    expected = 0.3 * 0.5 ** (data.rotatable_depth.double() - 1)
    assert (turns.std(0) / expected - 1).abs().max() < 0.1
    released = FradNoise(rotatable_std=math.radians(3), decay=0.5, as_released=True)
    turns = changes(data, released.conformation(batch, generator()))[2]
    expected = math.radians(9) * 0.5 ** (data.rotatable_depth.double() - 1)
    assert (turns.std(0) / expected - 1).abs().max() < 0.1


@pytest.mark.parametrize("mode", ["torsion", "vibration"])
def test_same_generator_same_noise(mode, generator):
    batch = Batch.from_data_list([prepared_molecule(smiles, torch.float32) for smiles in (FLEXIBLE, "O", "c1ccccc1CO")])
    noise = FradNoise(mode=mode)
    first, second = (noise(batch, generator(3)).pos for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, noise(batch, generator(4)).pos)


def test_bad_input():
    with pytest.raises(ValueError, match=r"needs the fields \['rotatable_index'.*AddTopology"):
        FradNoise()(ms.data.from_smiles("CCO"))
    with pytest.raises(ValueError, match="decay is for mode='torsion'"):
        FradNoise(mode="vibration", decay=0.2)
    with pytest.raises(ValueError, match=r"bond_std must not be negative or infinite \(Å\); got -1"):
        FradNoise(bond_std=-1)
    with pytest.raises(ValueError, match="std must not be negative"):
        FradNoise(-0.1)


@pytest.mark.usefixtures("no_shape_checks")
def test_unknown_mode():
    with pytest.raises(ValueError, match='mode must be "torsion" or "vibration"; got \'rotation\''):
        FradNoise(mode="rotation")


def test_repr_and_module():
    assert repr(FradNoise()) == (
        "FradNoise(std=0.04, mode='torsion', rotatable_std=0.03491, bond_std=0.058, angle_std=0.129, torsion_std=0.18, "
        "remove_translation=False, as_released=False)"
    )
    assert frad.FradNoise is ms.noise.FradNoise


@pytest.mark.cuda
@pytest.mark.parametrize("mode", ["torsion", "vibration"])
def test_cuda_without_waiting(mode, generator):
    batch = Batch.from_data_list([prepared_molecule(FLEXIBLE), prepared_molecule("O")]).to("cuda")
    noise = FradNoise(mode=mode)
    noise(batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        noisy = noise(batch, generator(device="cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert noisy.pos.isfinite().all()
