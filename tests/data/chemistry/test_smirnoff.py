"""SMIRNOFF force fields: OpenFF 2.0.0 as its own toolkit assigns it, and small files written out here."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
import torch
from rdkit import Chem as chem
from torch_geometric.data import Data

from molspectra.data.chemistry.rdkit import to_rdkit
from molspectra.data.chemistry.smirnoff import SmirnoffForceField, oriented
from molspectra.data.chemistry.smirnoff_file import quantity

HARMONIC = "mole**-1 * kilocalorie"
FILE = f"""<?xml version="1.0" encoding="utf-8"?>
<SMIRNOFF version="0.3" aromaticity_model="OEAroModel_MDL">
    <Constraints version="0.3"><Constraint smirks="[#1:1]-[*:2]" id="c1"></Constraint></Constraints>
    <Bonds version="0.4" potential="harmonic">
        <Bond smirks="[*:1]~[*:2]" id="b1" length="1.5 * angstrom" k="500 * angstrom**-2 * {HARMONIC}"></Bond>
        <Bond smirks="[#1:1]-[*:2]" id="b2" length="1.1 * angstrom" k="7e2 * angstrom**-2 * {HARMONIC}"></Bond>
        <Bond smirks="[#6a:1]:[#6a:2]" id="b3" length="1.4 * angstrom" k="900. * angstrom**-2 * {HARMONIC}"></Bond>
    </Bonds>
    <Angles version="0.3" potential="harmonic">
        <Angle smirks="[*:1]~[#6X4:2]~[*:3]" id="a1" angle="90 * degree" k="100 * radian**-2 * {HARMONIC}"></Angle>
        <Angle smirks="[#8:3]-[*:2]-[#1:1]" id="a2" angle="2 * radian" k="80 * radian**-2 * {HARMONIC}"></Angle>
    </Angles>
    <ProperTorsions version="0.4" potential="k*(1+cos(periodicity*theta-phase))" default_idivf="auto">
        <Proper smirks="[#1:1]-[*:2]-[*:3]-[#1:4]" id="t1" periodicity1="3" phase1="0.0 * degree"
            k1="0.2 * {HARMONIC}" periodicity2="1" phase2="180.0 * degree" k2="-1.5 * {HARMONIC}" idivf2="4.0"></Proper>
    </ProperTorsions>
</SMIRNOFF>
"""


@pytest.fixture
def write(tmp_path):
    def write(text=FILE):
        path = tmp_path / "small.offxml"
        path.write_text(text)
        return path

    return write


def methanol():
    """C 0, O 1, hydrogens 2-4 at C and 5 at O."""
    return chem.AddHs(chem.MolFromSmiles("CO"))


def pad(rows, fill):
    return np.array([list(row) + [fill] * (6 - len(row)) for row in rows]).reshape(-1, 6)


@pytest.fixture(scope="module")
def openff(sample_files):
    return SmirnoffForceField(sample_files / "openff" / "openff-2.0.0.offxml")


def test_openff_file(openff):
    assert repr(openff) == "SmirnoffForceField('openff-2.0.0.offxml'): 88 bond, 40 angle and 167 torsion parameters"


def test_openff_as_its_toolkit_assigns_it(openff, reference):
    molecules, internal, expected = (
        np.load(reference / name) for name in ("frad/molecules.npz", "slide/internal.npz", "slide/params_openff200.npz")
    )
    for entry in json.loads((reference / "slide" / "molecules.json").read_text()):
        key = entry["id"]
        fields = {
            name: torch.from_numpy(molecules[f"{key}.{name}"]) for name in ("z", "pos", "bond_order", "formal_charge")
        }
        bond_index = torch.from_numpy(molecules[f"{key}.bond_index"]).sort(dim=0).values
        labels = openff.label(to_rdkit(Data(**fields, bond_index=bond_index)))
        for kind, assigned, columns in (
            ("bond", labels.bonds, {"k": ("k", None), "r0": ("equilibrium", None)}),
            ("angle", labels.angles, {"k": ("k", None), "theta0": ("equilibrium", None)}),
            ("torsion", labels.torsions, {"k": ("k", math.nan), "n": ("periodicity", 0), "phase": ("phase", math.nan)}),
        ):
            found = [assigned.get(oriented(term)) for term in internal[f"{key}.{kind}s"].tolist()]
            there = np.array([parameter is not None for parameter in found], dtype=bool)
            parameters = [parameter for parameter in found if parameter is not None]
            # Nothing is labelled that is not a term, and nothing twice.
            assert len(assigned) == len(parameters), entry["name"]
            code = f"{key}.torsion_code" if kind == "torsion" else f"{key}.{kind}_has_param"
            np.testing.assert_array_equal(there, expected[code] != 0, entry["name"])
            ids = [parameter.id for parameter in parameters]
            np.testing.assert_array_equal(ids, expected[f"{key}.{kind}_id"][there], entry["name"])
            for column, (attribute, fill) in columns.items():
                values = [getattr(parameter, attribute) for parameter in parameters]
                values = np.array(values) if fill is None else pad(values, fill)
                expected_values = expected[f"{key}.{kind}_{column}"][there]
                np.testing.assert_allclose(values, expected_values, rtol=1e-14, err_msg=entry["name"])


def test_last_match_wins_in_either_direction(write):
    labels = SmirnoffForceField(write()).label(methanol())
    assert {term: parameter.id for term, parameter in labels.bonds.items()} == {
        (0, 1): "b1",
        (0, 2): "b2",
        (0, 3): "b2",
        (0, 4): "b2",
        (1, 5): "b2",
    }
    angles = {term: parameter.id for term, parameter in labels.angles.items()}
    # The first tag of a2 is the hydrogen, whichever comes first in the molecule; C-O-H has no parameter.
    assert angles == dict.fromkeys([(1, 0, 2), (1, 0, 3), (1, 0, 4)], "a2") | dict.fromkeys(
        [(2, 0, 3), (2, 0, 4), (3, 0, 4)], "a1"
    )
    assert set(labels.torsions) == {(2, 0, 1, 5), (3, 0, 1, 5), (4, 0, 1, 5)}


def test_values(write):
    labels = SmirnoffForceField(write()).label(methanol())
    assert (labels.bonds[0, 2].k, labels.bonds[0, 2].equilibrium) == (700.0, 1.1)
    assert (labels.angles[2, 0, 3].k, labels.angles[2, 0, 3].equilibrium) == (100.0, math.pi / 2)
    torsion = labels.torsions[2, 0, 1, 5]
    assert (torsion.k, torsion.periodicity, torsion.idivf) == ((0.2, -1.5), (3, 1), (None, 4.0))
    assert torsion.phase == (0.0, math.pi)
    assert torsion.smirks == "[#1:1]-[*:2]-[*:3]-[#1:4]"


@pytest.mark.parametrize(
    ("smiles", "num_aromatic"),
    [("c1ccccc1", 6), ("c1ccoc1", 0), ("c1cc[nH]c1", 0), ("c1ccncc1", 4), ("Oc1cccc(=O)cc1", 0)],
)
def test_aromaticity_is_of_the_mdl_model(write, smiles, num_aromatic):
    mol = chem.AddHs(chem.MolFromSmiles(smiles))
    before = [bond.GetIsAromatic() for bond in mol.GetBonds()]
    labels = SmirnoffForceField(write()).label(mol)
    assert sum(parameter.id == "b3" for parameter in labels.bonds.values()) == num_aromatic
    assert [bond.GetIsAromatic() for bond in mol.GetBonds()] == before


def test_more_than_a_thousand_matches(write):
    mol = chem.AddHs(chem.MolFromSmiles("C" * 200))  # 601 bonds, matched from both ends
    assert len(SmirnoffForceField(write()).label(mol).bonds) == 601


@pytest.mark.parametrize("smiles", ["CC(N)C(=O)O", "CC=CC", "[Na+].[Cl-]", "[H][H]", "[Xe]"])
def test_undefined_stereochemistry_salts_and_lone_atoms_are_no_hindrance(write, smiles):
    mol = chem.AddHs(chem.MolFromSmiles(smiles))
    assert len(SmirnoffForceField(write()).label(mol).bonds) == mol.GetNumBonds()


def test_copies_and_pickles(write):
    force_field = SmirnoffForceField(write())
    expected = force_field.label(methanol())
    write("")  # it was read once and for all
    for other in (copy.deepcopy(force_field), pickle.loads(pickle.dumps(force_field))):
        assert other.label(methanol()) == expected


def test_label_refuses_other_molecules(write):
    with pytest.raises(TypeError, match=r"mol must be an rdkit.Chem.Mol; got str. Convert with to_rdkit"):
        SmirnoffForceField(write()).label("CO")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1.5 * angstrom", "angstrom", 1.5),
        ("-2e-1*angstroms", "angstrom", -0.2),
        ("180.0 * degree", "radian", math.pi),
        ("2 * radians", "radian", 2.0),
        ("529.25 * angstrom**-2 * mole**-1 * kilocalorie", "kilocalorie_per_mole / angstrom**2", 529.25),
        ("529.25 * kilocalories_per_mole / angstrom**2", "kilocalorie_per_mole / angstrom**2", 529.25),
        ("529.25 * angstrom ** -2 * kilocalorie ** 1 * mole ** -1", "kilocalorie_per_mole / angstrom**2", 529.25),
        ("529.25 * kilocalorie / mole / angstrom / angstrom", "kilocalorie_per_mole / angstrom**2", 529.25),
        ("3 * kilocalorie / (mole)", "kilocalorie_per_mole", None),
        ("2 * kilocalorie_per_mole / degree**2", "kilocalorie_per_mole / radian**2", 2 * (180 / math.pi) ** 2),
        ("0.5 * mole**-1 * kilocalorie", "kilocalorie_per_mole", 0.5),
        ("0.5 * kilocalorie", "kilocalorie_per_mole", None),
        ("1.5", "angstrom", None),
        ("1.5 * nanometer", "angstrom", None),
        ("1.5 * kilojoule * mole**-1", "kilocalorie_per_mole", None),
        ("1.5 * radian", "angstrom", None),
        ("angstrom", "angstrom", None),
        ("1.5 angstrom", "angstrom", None),
        ("", "angstrom", None),
    ],
)
def test_quantity(text, unit, value):
    if value is None:
        with pytest.raises(ValueError, match="quantity must be|Unit .* is not known"):
            quantity(text, unit)
    else:
        assert quantity(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("OEAroModel_MDL", "OEAroModel_RDKit", "aromaticity_model must be 'OEAroModel_MDL'.*has 'OEAroModel_RDKit'"),
        ("SMIRNOFF", "ForceField", "the root of .*small.offxml is <ForceField>, not <SMIRNOFF>"),
        ("</Bonds>", "", r"which is XML; .*small.offxml is not: mismatched tag"),
        ('0.4" potential="harmonic"', '0.4" potential="morse"', "potential of Bonds must be 'harmonic'; got 'morse'"),
        ("1.1 * angstrom", "0.11 * nanometer", "length of Bond 'b2': Unit 'nanometer' in '0.11 .*Convert the file"),
        ('k="7e2', 'k_bondorder1="7e2', r"Bond 'b2' must have k; it has \['id', 'k_bondorder1', .*by bond order are"),
        ('periodicity1="3" ', "", "Proper 't1' must have periodicity1; it has"),
        ("[#1:1]-[*:2]-[*:3]-[#1:4]", "[#1:1]-[*:2]-[*:3]-[#1]", "smirks of 't1' must be .* tagged 1 to 4; got"),
        ("[#6a:1]:[#6a:2]", "[#6a:1]:[#6a:2", r"smirks of 'b3' must be .* tagged 1 to 2; got '\[#6a:1\]:\[#6a:2'"),
    ],
)
def test_refuses_files(write, old, new, match, capfd):
    assert old in FILE
    with pytest.raises(ValueError, match=match):
        SmirnoffForceField(write(FILE.replace(old, new)))
    assert capfd.readouterr() == ("", "")


def test_says_where_files_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no .*none.offxml. OpenFF force fields .*openff-forcefields"):
        SmirnoffForceField(tmp_path / "none.offxml")


def test_file_without_a_section(write):
    text = FILE[: FILE.index("    <ProperTorsions")] + "</SMIRNOFF>"
    assert SmirnoffForceField(write(text)).label(methanol()).torsions == {}
