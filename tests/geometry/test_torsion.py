"""Rotation about bonds: published positions and invariants."""

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.geometry import internal_coordinates, rotate_torsions, topology, wrap_angle
from tests.conformers import IDS


def with_rotors(conformers, molecule, stored=True):
    data = conformers.molecule(molecule)
    data.rotatable_index = conformers("frad/torsion_noise", molecule, "quads")
    if stored:
        data.parent_index, data.tree_span, _ = topology.spanning_forest(data.bond_index, len(data.z))
    return data


@pytest.mark.parametrize("size", ["s2", "s20", "big"])
@pytest.mark.parametrize("stored", [True, False], ids=["stored forest", "bonds alone"])
def test_published_positions_of_a_batch_and_one_by_one(conformers, size, stored):
    molecules = [with_rotors(conformers, molecule, stored) for molecule in IDS]
    turns = [conformers("frad/torsion_noise", molecule, f"{size}.delta_deg").deg2rad() for molecule in IDS]
    expected = [conformers("frad/torsion_noise", molecule, f"{size}.pos_rot") for molecule in IDS]
    together = rotate_torsions(Batch.from_data_list(molecules), torch.cat(turns))
    torch.testing.assert_close(together, torch.cat(expected), rtol=0, atol=1e-12)
    for data, turn, pos in zip(molecules, turns, expected, strict=True):
        torch.testing.assert_close(rotate_torsions(data, turn), pos, rtol=0, atol=1e-12)


@pytest.mark.parametrize("molecule", IDS)
def test_torsions_land_and_nothing_else_changes(conformers, molecule):
    data = with_rotors(conformers, molecule)
    quads = data.rotatable_index
    bonds, angles, _ = conformers.terms(molecule, clean=False)
    r0, theta0, phi0 = internal_coordinates(data.pos, bonds, angles, quads)
    before = conformers("frad/torsion_noise", molecule, "dihedral_deg")
    torch.testing.assert_close(phi0.rad2deg(), before, rtol=0, atol=1e-11)
    for size in ("s2", "s20", "big"):
        turns = conformers("frad/torsion_noise", molecule, f"{size}.delta_deg").deg2rad()
        r, theta, phi = internal_coordinates(rotate_torsions(data, turns), bonds, angles, quads)
        assert (r - r0).abs().max() < 1e-12
        assert (theta - theta0).abs().max() < 1e-12
        assert (wrap_angle(phi - phi0 - turns).abs() < 1e-12).all()
        after = conformers("frad/torsion_noise", molecule, f"{size}.dihedral_after_deg").deg2rad()
        assert (wrap_angle(phi - after).abs() < 1e-12).all()


def test_float32(conformers):
    data = with_rotors(conformers, "m31")
    turns = conformers("frad/torsion_noise", "m31", "big.delta_deg").deg2rad()
    expected = rotate_torsions(data, turns)
    data.pos = data.pos.float()
    torch.testing.assert_close(rotate_torsions(data, turns), expected.float(), rtol=0, atol=1e-5)


def test_fragments_stay_apart():
    """Methanol and, in the same molecule, a water: turning the methanol leaves the water in place, in either order."""
    salt = ms.data.transforms.AddTopology()(ms.data.from_smiles("CO.O"))
    for rotor in (salt.rotatable_index, salt.rotatable_index.flip(0)):
        salt.rotatable_index = rotor
        turned = rotate_torsions(salt, torch.tensor([1.0]))
        torch.testing.assert_close(turned[salt.z == 8][1], salt.pos[salt.z == 8][1])
        assert (turned - salt.pos).abs().max() > 0.1


def test_gradients(conformers):
    data = with_rotors(conformers, "m02")

    def rotated(pos, turns):
        data.pos = pos
        return rotate_torsions(data, turns)

    inputs = data.pos.requires_grad_(), torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotated, inputs)


def test_nothing_to_rotate():
    water = ms.data.transforms.AddTopology()(ms.data.from_smiles("O"))
    assert torch.equal(rotate_torsions(water, torch.empty(0)), water.pos)


def test_bad_input():
    data = Data(pos=torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"must have rotatable_index.*AddTopology"):
        rotate_torsions(data, torch.zeros(1))
    data.rotatable_index = torch.arange(4).unsqueeze(1)
    with pytest.raises(ValueError, match=r"must have bond_index.*AddTopology"):
        rotate_torsions(data, torch.zeros(1))
    with pytest.raises(ValueError, match=r"angles must have shape \(1,\).*got \(2,\)"):
        rotate_torsions(data, torch.zeros(2))


def test_bonds_that_cannot_rotate_are_refused():
    ring = ms.data.transforms.AddTopology()(ms.data.from_smiles("C1CC1"))
    ring.rotatable_index = torch.tensor([[2], [0], [1], [3]])
    with pytest.raises(ValueError, match=r"bonds that are in no ring; got atoms 0 and 1 in column 0\. Take it"):
        rotate_torsions(ring, torch.ones(1))
    ring.rotatable_index = torch.tensor([[1], [0], [8], [2]])
    with pytest.raises(ValueError, match="got atoms 0 and 8 in column 0"):
        rotate_torsions(ring, torch.ones(1))


@pytest.mark.parametrize("rotate", ["one by one", "at once"])
def test_autocast_does_not_round_positions(rotate):
    data = ms.data.transforms.AddTopology()(ms.data.from_smiles("OCC(=O)CC"))
    turns = torch.randn(data.rotatable_index.shape[1])

    def run():
        if rotate == "one by one":
            return rotate_torsions(data, turns)
        return ms.noise.FradNoise(mode="vibration").conformation(data, torch.Generator().manual_seed(0))

    exact = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(run(), exact)
