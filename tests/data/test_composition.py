"""Formulas and masses against RDKit, ASE and the masses of single isotopes."""

import ase.data
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Descriptors

from molspectra.data import MiniSpectra, molecular_formula, monoisotopic_mass


def test_atomic_numbers_and_smiles_agree():
    for molecule in MiniSpectra("test"):
        assert molecular_formula(molecule.z) == molecular_formula(molecule.smiles)
        exact = Descriptors.ExactMolWt(Chem.MolFromSmiles(molecule.smiles))
        assert monoisotopic_mass(molecule.z) == pytest.approx(exact, abs=1e-6)
        assert monoisotopic_mass(molecule.smiles) == pytest.approx(exact, abs=1e-6)


def test_masses_of_isotopes():
    # AME2020, in Da. Average masses, such as 35.45 of chlorine, are another thing.
    isotopes = {1: 1.00782503, 6: 12.0, 7: 14.00307400, 8: 15.99491462, 17: 34.96885269, 35: 78.9183376}
    for number, mass in isotopes.items():
        assert monoisotopic_mass(torch.tensor([number])) == pytest.approx(mass, abs=2e-6)
    assert monoisotopic_mass("[2H]C") - monoisotopic_mass("C") == pytest.approx(2.01410178 - 1.00782503, abs=1e-6)
    assert abs(monoisotopic_mass(torch.tensor([17])) - ase.data.atomic_masses[17]) > 0.4


@pytest.mark.parametrize(
    ("numbers", "formula"),
    [([8, 1, 1], "H2O"), ([1, 6, 1, 1, 17], "CH3Cl"), ([11, 17], "ClNa"), ([1, 35], "BrH"), ([6, 8, 8], "CO2")],
)
def test_hill_order(numbers, formula):
    assert molecular_formula(torch.tensor(numbers)) == formula


@pytest.mark.parametrize("function", [molecular_formula, monoisotopic_mass])
def test_bad_input_is_refused(function):
    with pytest.raises(ValueError, match=r"Atomic numbers must be 1\.\.118; got 0"):
        function(torch.tensor([6, 0]))
    with pytest.raises(ValueError, match="valid SMILES"):
        function("C((")
