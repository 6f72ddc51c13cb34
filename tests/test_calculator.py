"""Fine-tuned models as ASE calculators."""

import itertools

import ase
import ase.units
import numpy as np
import pytest
import torch
from ase.md.verlet import VelocityVerlet
from ase.units import fs, kB, kcal, mol

import molspectra as ms


@pytest.fixture
def model():
    encoder = ms.encoders.PaiNN(16, 2, 8).double()
    regression = ms.methods.Regression(ms.heads.ScalarHead(16), label="energy", forces="forces").double()
    return encoder, regression


@pytest.fixture
def ethanol():
    molecule = ms.data.from_smiles("CCO")
    return ase.Atoms(molecule.z.numpy(), molecule.pos.double().numpy())


def test_energies_forces_and_units(model, ethanol):
    encoder, regression = model
    pos = torch.from_numpy(ethanol.positions).requires_grad_()
    energy = regression.head(encoder(torch.from_numpy(ethanol.numbers).long(), pos))
    (gradient,) = torch.autograd.grad(energy.sum(), pos)
    for unit, factor in (("eV", 1.0), ("kcal/mol", kcal / mol), ("Hartree", ase.units.Hartree)):
        ethanol.calc = ms.ase_calculator(encoder, regression, unit=unit)
        assert ethanol.get_potential_energy() == pytest.approx(factor * energy.item(), rel=1e-6)
        np.testing.assert_allclose(ethanol.get_forces(), -factor * gradient.numpy(), rtol=1e-6, atol=1e-9)


def test_forces_are_those_of_finite_differences(model, ethanol):
    ethanol.calc = ms.ase_calculator(*model)
    forces = ethanol.get_forces()
    pos, step = ethanol.positions.copy(), 1e-4
    for atom, axis in itertools.product((0, 4), range(3)):
        energies = []
        for sign in (1, -1):
            ethanol.positions = pos
            ethanol.positions[atom, axis] += sign * step
            energies.append(ethanol.get_potential_energy())
        numerical = (energies[1] - energies[0]) / (2 * step)
        np.testing.assert_allclose(forces[atom, axis], numerical, rtol=1e-4, atol=1e-6)


def test_dynamics_conserve_energy(model, ethanol):
    """Of an untrained model, which is as smooth as a trained one: half a femtosecond a step, from 300 K."""
    ethanol.calc = ms.ase_calculator(*model)
    thermal = np.sqrt(300 * kB * ethanol.get_masses())[:, None]
    ethanol.set_momenta(thermal * np.random.default_rng(0).standard_normal((9, 3)))
    start, kinetic = ethanol.get_total_energy(), ethanol.get_kinetic_energy()
    with VelocityVerlet(ethanol, 0.5 * fs) as dynamics:
        dynamics.run(60)
    assert abs(ethanol.get_kinetic_energy() - kinetic) > 0.01
    assert abs(ethanol.get_total_energy() - start) < 0.01 * kinetic


def test_energies_alone(model, ethanol):
    encoder, regression = model
    energies = ms.methods.Regression(regression.head, label="energy").double()
    ethanol.calc = ms.ase_calculator(encoder, energies)
    assert np.isfinite(ethanol.get_potential_energy())
    assert "forces" not in ethanol.calc.implemented_properties


def test_bonds_are_handed_over(ethanol):
    encoder = ms.encoders.EGNN(8, 2, max_hops=2)
    regression = ms.methods.Regression(ms.heads.ScalarHead(8), label="energy")
    bonds = ms.data.from_smiles("CCO").bond_index
    ethanol.calc = ms.ase_calculator(encoder, regression, bond_index=bonds)
    expected = regression.predict(encoder, ms.data.from_smiles("CCO")).property.item()
    assert ethanol.get_potential_energy() == pytest.approx(expected, rel=1e-4)


@pytest.mark.usefixtures("no_shape_checks")
def test_what_it_cannot_do_is_refused(model, ethanol):
    with pytest.raises(ValueError, match="unit must be one of eV, kcal/mol, Hartree; got 'kJ/mol'"):
        ms.ase_calculator(*model, unit="kJ/mol")
    ethanol.calc = ms.ase_calculator(*model)
    ethanol.pbc = True
    with pytest.raises(ValueError, match="must not be periodic"):
        ethanol.get_potential_energy()


def test_an_encoder_that_needs_bonds_gets_those_of_the_first_positions(ethanol):
    encoder = ms.encoders.EGNN(16, 2, max_hops=3).double()
    regression = ms.methods.Regression(ms.heads.ScalarHead(16), label="energy", forces=None).double()
    molecule = ms.data.from_smiles("CCO")
    known, perceived = ethanol.copy(), ethanol.copy()
    known.calc = ms.ase_calculator(encoder, regression, bond_index=molecule.bond_index)
    perceived.calc = ms.ase_calculator(encoder, regression)
    with pytest.warns(UserWarning, match="Guessed 8 bonds of 9 atoms") as caught:
        assert perceived.get_potential_energy() == pytest.approx(known.get_potential_energy(), rel=1e-9)
    assert len([warning for warning in caught if "Guessed" in str(warning.message)]) == 1
    for atoms in (known, perceived):
        atoms.positions[0] += 3.0  # the bond is stretched, and stays
    assert perceived.get_potential_energy() == pytest.approx(known.get_potential_energy(), rel=1e-9)
