"""The geometry of the noises against RDKit's functions that read and set a conformer, molecule by molecule."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.data.chemistry.rdkit import to_rdkit
from molspectra.data.transforms import AddTopology, ForceConstants
from molspectra.noise.internal import apply_change, draw_change
from molspectra.noise.slicing import finite_difference_slices, least_squares_gradient


@pytest.fixture(scope="module")
def oracle():
    from tests.oracles import rdkit_noise

    return rdkit_noise


@pytest.fixture(scope="module")
def molecules():
    """A cross-section of MiniSpectra in float64."""
    topology, constants = AddTopology(), ForceConstants.generic()
    molecules = [topology(molecule) for molecule in ms.data.MiniSpectra("all")[::13]]
    for molecule in molecules:
        molecule.pos = molecule.pos.double()
    return [constants(molecule) for molecule in molecules]


@pytest.fixture(scope="module")
def mols(oracle, molecules):
    return [to_rdkit(molecule) for molecule in molecules]


@pytest.fixture(scope="module")
def batch(molecules):
    return Batch.from_data_list(molecules)


@pytest.fixture
def draws(generator):
    return generator()


def of_each_molecule(batch, values, index=None):
    """Values of atoms, or of the terms of an index, of one molecule after the other."""
    molecule = batch.batch if index is None else batch.batch[index[0]]
    return values.split(torch.bincount(molecule, minlength=batch.num_graphs).tolist())


def draw(molecule, draws):
    stds = {"bond_index": 0.05, "angle_index": 0.1, "torsion_index": 1.0}
    stds = [torch.full(molecule[index].shape[1:], std, dtype=torch.float64) for index, std in stds.items()]
    return draw_change(molecule, *stds, draws)


def changed_terms(molecule, change):
    """List each changing term with its change. Its last atom is on the moving side."""
    i, j, k = molecule.angle_index
    arm = change.arm[j]
    angle_index = torch.stack([arm, j, torch.where(arm == k, i, k)])
    terms = [
        tuple(t) for index in (molecule.bond_index, angle_index, molecule.torsion_index) for t in index.t().tolist()
    ]
    amounts = torch.cat([change.stretch, change.bend, change.twist]).tolist()
    return [(term, amount) for term, amount in zip(terms, amounts, strict=True) if amount != 0]


def assert_close(actual, expected, atol=1e-10):
    torch.testing.assert_close(torch.as_tensor(actual), torch.as_tensor(expected), rtol=0, atol=atol)


def assert_same_shape(oracle, molecule, mol, pos, expected):
    """Equal up to a rigid motion: all distances agree, and all torsions, whose sign reveals mirror images."""
    assert_close(torch.cdist(pos, pos), torch.cdist(*[torch.from_numpy(expected)] * 2), atol=1e-9)
    ours, theirs = oracle.with_positions(mol, pos.numpy()), oracle.with_positions(mol, expected)
    terms = oracle.listed_terms(molecule)
    differences = oracle.term_gradients(ours, theirs, terms, np.ones(len(terms)))
    assert_close(differences, np.zeros(len(terms)), atol=1e-8)


def test_rotatable_bonds(oracle, molecules, mols):
    for molecule, mol in zip(molecules, mols, strict=True):
        listed = [tuple(torsion) for torsion in molecule.rotatable_index.t().tolist()]
        assert listed == oracle.rotatable_torsions(mol), molecule.smiles


def test_internal_coordinates(oracle, molecules, mols):
    for molecule, mol in zip(molecules, mols, strict=True):
        terms = molecule.bond_index, molecule.angle_index, molecule.torsion_index
        ours = ms.geometry.internal_coordinates(molecule.pos, *terms)
        assert_close(torch.cat(ours), oracle.internal_coordinates(mol, oracle.listed_terms(molecule)))


def test_rotations_of_a_batch(oracle, mols, batch, draws):
    index = batch.rotatable_index
    turns = 2 * torch.pi * torch.rand(index.shape[1], generator=draws, dtype=torch.float64) - torch.pi
    rotated = of_each_molecule(batch, ms.geometry.rotate_torsions(batch, turns))
    for mol, pos, turn in zip(mols, rotated, of_each_molecule(batch, turns, index), strict=True):
        assert_close(pos, oracle.rotate(mol, oracle.rotatable_torsions(mol), turn.tolist()))


def test_rotations_leave_other_fragments_alone(oracle, draws):
    # Due to the ring, one of the moving sides contains the first atom, the root of its fragment.
    molecule = AddTopology()(ms.data.from_smiles("OCC1CC1.NCC=O"))
    molecule.pos = molecule.pos.double()
    turns = torch.randn(molecule.rotatable_index.shape[1], generator=draws, dtype=torch.float64)
    mol = to_rdkit(molecule)
    expected = oracle.rotate(mol, oracle.rotatable_torsions(mol), turns.tolist())
    assert_close(ms.geometry.rotate_torsions(molecule, turns), expected)


def test_frad_turns_rotatable_bonds_and_changes_nothing_else(oracle, molecules, mols, batch, draws):
    changed = of_each_molecule(batch, ms.noise.FradNoise(rotatable_std=1.0).conformation(batch, draws))
    for molecule, mol, pos in zip(molecules, mols, changed, strict=True):
        torsions = oracle.rotatable_torsions(mol)
        turned = oracle.internal_coordinates(oracle.with_positions(mol, pos.numpy()), torsions)
        turns = turned - oracle.internal_coordinates(mol, torsions)
        assert (np.abs(turns) > 1e-4).all()
        assert_same_shape(oracle, molecule, mol, pos, oracle.rotate(mol, torsions, turns))


def test_vibrations(oracle, molecules, mols, draws):
    for molecule, mol in zip(molecules, mols, strict=True):
        change = draw(molecule, draws)
        expected = oracle.vibrate(mol, changed_terms(molecule, change))
        assert_same_shape(oracle, molecule, mol, apply_change(molecule, change), expected)


def test_what_vibrates(oracle, molecules, mols, draws):
    """The same bonds, equally many angles at each atom, and one torsion about each of the same bonds."""

    def places(changes):
        """(i, j) of bonds, (j,) of angles, (j, k) of torsions, in either order."""
        terms = [term for term, _ in changes]
        return sorted((len(term), sorted(term if len(term) == 2 else term[1:-1])) for term in terms)

    random = np.random.default_rng(0)
    for molecule, mol in zip(molecules, mols, strict=True):
        every_term = AddTopology(as_released=True)(molecule)  # linear ones included
        expected = oracle.draw_vibration(mol, random, oracle.rotatable_torsions(mol))
        drawn = changed_terms(every_term, draw(every_term, draws))
        assert places(drawn) == places(expected), molecule.smiles


def test_gradients_are_what_finite_differences_are_of(oracle, molecules, mols, batch, draws):
    noise, step = ms.noise.SliDeNoise(thermal_energy=0.1), 1e-6
    pos = noise.conformation(batch, draws)
    gradients = of_each_molecule(batch, noise.gradient(batch, pos))
    random = np.random.default_rng(0)
    for molecule, mol, x, gradient in zip(molecules, mols, of_each_molecule(batch, pos), gradients, strict=True):
        terms, moved = oracle.listed_terms(molecule), oracle.with_positions(mol, x.numpy())
        constants = torch.cat([molecule.bond_k, molecule.angle_k, molecule.torsion_k]).numpy()
        weights = oracle.term_gradients(moved, mol, terms, constants)
        slices = random.standard_normal((6 * len(x), *x.shape))
        assert_close(gradient, oracle.sliced_gradient(moved, terms, weights, slices, step), 1e-4 * gradient.abs().max())


def test_released_slices(oracle, molecules, mols, draws):
    """Equal slices give equal least-squares targets, with more slices than coordinates and with fewer."""
    for molecule, mol in zip(molecules[::5], mols[::5], strict=True):
        pos = ms.noise.SliDeNoise(thermal_energy=0.3).conformation(molecule, draws)
        moved, terms = oracle.with_positions(mol, pos.numpy()), oracle.listed_terms(molecule)
        weights = torch.randn(len(terms), generator=draws, dtype=torch.float64)
        of_kinds = [molecule.bond_index, molecule.angle_index, molecule.torsion_index]
        batch = torch.zeros_like(molecule.z)
        for num_slices in (8, 128):
            slices = torch.randn(num_slices, *pos.shape, generator=draws, dtype=torch.float64)
            gradients = weights.split([index.shape[1] for index in of_kinds])
            along = finite_difference_slices(pos, of_kinds, gradients, slices, batch)
            ours = least_squares_gradient(along, slices, batch) / 0.001
            expected = oracle.sliced_gradient(moved, terms, weights.numpy(), slices.numpy(), 0.001)
            assert_close(ours, expected, 1e-8 * np.abs(expected).max())
