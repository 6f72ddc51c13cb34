"""SD files: records with impossible valences, and properties as fields."""

import re
import warnings

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDepictor

import molspectra as ms
from molspectra.data import from_rdkit, from_smiles, read_molecules, to_rdkit, validate

# Zwitterions and ions as gdb9.sdf writes them: without charges.
UNCHARGED = ["[NH3+]CC(=O)[O-]", "C[N+](C)(C)C", "C[N+](=O)[O-]", "[O-][n+]1ccccc1", "C[NH+]=C([O-])C"]


def block(smiles: str, charged: bool = True, v3000: bool = False) -> str:
    """A record of a molecule, with or without its charges."""
    mol = to_rdkit(from_smiles(smiles, optimize=False))
    Chem.Kekulize(mol, clearAromaticFlags=True)
    text = Chem.MolToMolBlock(mol, forceV3000=v3000, kekulize=True)
    if charged:
        return text
    lines = (line for line in text.splitlines() if not line.startswith("M  CHG"))
    return "\n".join(line.split(" CHG=")[0] for line in lines) + "\n"


def write(tmp_path, *records: str):
    path = tmp_path / "some.sdf"
    path.write_text("".join(record + "$$$$\n" for record in records))
    return path


@pytest.mark.parametrize("v3000", [False, True])
@pytest.mark.parametrize("smiles", UNCHARGED)
def test_impossible_valences_keep_the_geometry(tmp_path, smiles, v3000):
    good = block(smiles, v3000=v3000)
    bad = block(smiles, charged=False, v3000=v3000)
    expected, read = read_molecules(write(tmp_path, good, bad))
    assert read.problem is None
    validate(read.molecule)
    for name in ("z", "pos", "bond_index"):
        assert torch.equal(read.molecule[name], expected.molecule[name])
    assert "formal_charge" not in read.molecule
    rows = ms.embed(ms.encoders.PaiNN(8, 1, 8), write(tmp_path, good, bad))
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-5)


def test_drawings_with_impossible_valences_are_refused(tmp_path):
    flat = Chem.MolFromSmiles("CN(C)(C)(C)C", sanitize=False)
    flat.UpdatePropertyCache(strict=False)
    rdDepictor.Compute2DCoords(flat)
    drawing = Chem.MolToMolBlock(flat, kekulize=False)
    bare = block("C[N+](C)(C)C", charged=False)
    heavy = Chem.MolFromMolBlock(bare, sanitize=False)
    editable = Chem.RWMol(heavy)
    for atom in sorted((a.GetIdx() for a in heavy.GetAtoms() if a.GetAtomicNum() == 1), reverse=True):
        editable.RemoveAtom(atom)
    reads = list(read_molecules(write(tmp_path, drawing, Chem.MolToMolBlock(editable, kekulize=False))))
    assert "is a drawing without positions" in reads[0].problem
    assert "no hydrogens on carbon, and its valences are impossible: Explicit valence" in reads[1].problem


def test_damage_is_still_refused(tmp_path):
    bad = block("C[N+](C)(C)C", charged=False)
    for old, new in (("  1  2  1", "  1  2  9"), (" N  ", " Xx ")):
        (read,) = read_molecules(write(tmp_path, bad.replace(old, new, 1)))
        assert read.molecule is None


PROPERTIES = """> <logP>  (1)
-0.31

>  25  <name of it>
ethanol
absolute

> <CID>
702

> <empty>

> <refractive_index>
1.361

"""


def test_properties_become_fields(tmp_path):
    path = write(tmp_path, block("CCO") + PROPERTIES, block("O"))
    with pytest.warns(UserWarning, match="The property 'refractive_index' of an SD file is left out"):
        ethanol, water = (read.molecule for read in read_molecules(path))
    assert ethanol.logP.tolist() == [-0.31]
    assert ethanol.CID.tolist() == [702]
    assert ethanol["name of it"] == "ethanol\nabsolute"
    assert ethanol.empty == ""
    assert "refractive_index" not in ethanol
    assert "logP" not in water


def test_chosen_properties_fit_into_a_batch(tmp_path):
    path = write(tmp_path, block("CCO") + PROPERTIES, block("O"), block("C") + "> <logP>\nunknown\n\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ethanol, water, methane = read_molecules(path, labels=["logP", "CID"])
    batch = ms.data.Collate()([ethanol.molecule, water.molecule])
    torch.testing.assert_close(batch.logP, torch.tensor([-0.31, torch.nan]).double(), equal_nan=True)
    assert batch.CID.dtype == torch.float64
    assert methane.problem == "logP must be a number or empty; got 'unknown'. Correct the cell, or empty it."
    assert set(next(read_molecules(path, labels=[])).molecule.keys()) == set(from_smiles("CCO").keys())


def test_deuterium(tmp_path):
    text = block("O").replace(" H ", " D ")
    (read,) = read_molecules(write(tmp_path, text))
    assert read.molecule.z.tolist() == [8, 1, 1]


def test_to_ase_and_back():
    from molspectra.data import from_ase, to_ase

    data = from_smiles("C[N+](C)(C)C")
    data.energy, data.forces = torch.tensor([-3.5], dtype=torch.float64), torch.rand_like(data.pos)
    atoms = to_ase(data)
    back = from_ase(atoms)
    for name in ("z", "pos", "energy", "forces"):
        torch.testing.assert_close(back[name], data[name])
    assert atoms.get_initial_charges().sum() == 1
    assert not atoms.pbc.any()
    assert to_ase(from_smiles("O")).calc is None
    with pytest.raises(ValueError, match="one molecule; got a Batch"):
        to_ase(ms.data.Collate()([data]))
    data.energy = torch.zeros(2)
    with pytest.raises(ValueError, match=r"energy must be one number; got shape \(2,\)"):
        to_ase(data)
    del data.energy
    data.forces = data.forces[:2]
    with pytest.raises(ValueError, match=r"forces must be a tensor of shape"):
        to_ase(data)


@pytest.mark.parametrize(("old", "new"), [("0.0000", "0,0000"), ("0.0000", "0 0000"), ("0.0000", "0.00_0")])
def test_positions_that_are_no_numbers_are_refused(tmp_path, old, new):
    """RDKit reads them up to the character that is not one of a number: 1,25 as 1."""
    lines = block("O").splitlines()
    lines[4] = "    0.0000    0.0000    0.0000" + lines[4][30:]
    lines[4] = lines[4].replace(old, new, 1)
    (read,) = read_molecules(write(tmp_path, "\n".join(lines) + "\n"))
    assert "Line 5 must be an atom: x, y, z and a symbol" in read.problem


def test_records_that_have_run_together_are_refused(tmp_path):
    (read,) = read_molecules(write(tmp_path, block("O") + "\n" + block("CO")))
    assert "a line of $$$$ between molecules is lost" in read.problem


def test_a_label_that_no_record_has_is_refused(tmp_path):
    path = tmp_path / "some.sdf"
    block = Chem.MolToMolBlock(to_rdkit(from_smiles("O")))
    path.write_text(f"{block}> <logP>\n-1.38\n\n$$$$\n")
    assert next(read_molecules(path, labels=["logP"])).molecule.logP.item() == -1.38
    with pytest.raises(
        ValueError, match=r"No record of .*some.sdf has the properties \['logp'\]; the file has \['logP'\]"
    ):
        list(read_molecules(path, labels=["logp"]))


def test_geometries_that_cannot_be(tmp_path):
    """In nm, in Bohr, with two atoms in one place, and as a drawing marked as three-dimensional."""
    mol = to_rdkit(from_smiles("CCO"))
    geometry = mol.GetConformer()
    for matrix, shift, match in [
        (0.1 * np.eye(3), 0, "Atoms must be at least 0.3 Å apart"),
        (1.8897 * np.eye(3), 0, r"in the median they are 1\.[89]\d times as long.*Bohr"),
        (0.5 * np.eye(3), 0, r"in the median they are 0\.[45]\d times as long"),
        (np.diag([1.0, 1.0, 0.0]), 3, "all have z = 3, although C0 has 4 neighbors. They are a drawing"),
    ]:
        changed = Chem.Mol(mol)
        for atom, position in enumerate(geometry.GetPositions() @ matrix + [0, 0, shift]):
            changed.GetConformer().SetAtomPosition(atom, position)
        (tmp_path / "some.sdf").write_text(Chem.MolToMolBlock(changed).replace("          2D", "          3D"))
        if shift:  # so that RDKit takes it for three-dimensional
            assert " 3D" in (tmp_path / "some.sdf").read_text()
        (read,) = read_molecules(tmp_path / "some.sdf")
        assert re.search(match, read.problem or ""), read
        with pytest.raises(ValueError, match=match):
            from_rdkit(changed)
    changed = Chem.Mol(mol)
    changed.GetConformer().SetAtomPosition(4, changed.GetConformer().GetAtomPosition(1))
    with pytest.raises(ValueError, match=r"at least 0.3 Å apart; C1 and H4 are 0 Å apart"):
        from_rdkit(changed)
    mol.RemoveAllConformers()
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))  # all positions 0
    with pytest.raises(ValueError, match="C0 and C1 are 0 Å apart"):
        from_rdkit(mol)


@pytest.mark.parametrize(
    ("properties", "labels", "expected"),
    [
        ("> <e>\n1.0\n\n> <e>\n2.0\n\n", None, "Properties must be stated once; 'e' is '1.0' and again '2.0'"),
        ("> <e>\n1.0\n\n> <e>\n2.0\n\n", ["e"], "Properties must be stated once; 'e' is '1.0' and again '2.0'"),
        ("> <e>\n1e400\n\n", None, "e must be finite or empty; got '1e400'"),
        ("> <e>\n1e400\n\n", ["e"], "e must be finite or empty; got '1e400'"),
        ("> <e>\ninf\n\n", ["e"], "e must be a number or empty; got 'inf'"),
        ("> <e>\n1.0\n\n> <e>\n1.0\n\n", None, {"e": 1.0}),
        ("> <e>\n1.0\n> <f>\n2.0\n\n", None, {"e": 1.0, "f": 2.0}),  # the empty line is lost
        ("> <e>\ninf\n\n> <f>\n1,5\n\n", None, {"e": "inf", "f": "1,5"}),
    ],
)
def test_doubtful_properties(tmp_path, properties, labels, expected):
    record = Chem.MolToMolBlock(to_rdkit(from_smiles("O")))
    (tmp_path / "some.sdf").write_text(record + properties + "$$$$\n")
    (read,) = read_molecules(tmp_path / "some.sdf", labels=labels)
    if isinstance(expected, str):
        assert expected in read.problem
    else:
        found = {key: read.molecule[key] for key in expected}
        assert {key: value if isinstance(value, str) else value.item() for key, value in found.items()} == expected
