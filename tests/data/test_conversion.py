"""Molecules from SMILES, RDKit and ASE: what comes out, from ordinary and from odd molecules."""

import sys

import pytest
import torch

from molspectra.data import from_ase, from_rdkit, from_smiles, validate

# SMILES → atomic numbers, bond orders (sorted)
MOLECULES = {
    "O": ([8, 1, 1], [1, 1]),
    "[H][H]": ([1, 1], [1]),
    "[Na+]": ([11], []),
    "[H+]": ([1], []),
    "[Xe]": ([54], []),
    "C#N": ([6, 7, 1], [1, 3]),
    "O=C=O": ([8, 6, 8], [2, 2]),
    "c1ccccc1": ([6] * 6 + [1] * 6, [1] * 6 + [1.5] * 6),
    "[NH4+]": ([7, 1, 1, 1, 1], [1] * 4),
    "CC(=O)[O-]": ([6, 6, 8, 8, 1, 1, 1], [1] * 5 + [2]),
    "[Na+].[Cl-]": ([11, 17], []),
    "O.O": ([8, 8, 1, 1, 1, 1], [1] * 4),
    "c1ccccc1.O": ([6] * 6 + [8] + [1] * 8, [1] * 8 + [1.5] * 6),
    "[2H]O[2H]": ([1, 8, 1], [1, 1]),
    "C[C@H](N)C(=O)O": ([6, 6, 7, 6, 8, 8] + [1] * 7, [1] * 11 + [2]),
}


@pytest.fixture(scope="module")
def chem():
    return pytest.importorskip("rdkit.Chem", reason="needs RDKit: pip install molspectra[rdkit]")


@pytest.fixture(scope="module")
def ase():
    return pytest.importorskip("ase", reason="needs ASE: pip install molspectra[ase]")


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("smiles", MOLECULES)
def test_smiles(chem, smiles, optimize, capfd):
    data = from_smiles(smiles, optimize=optimize)
    z, orders = MOLECULES[smiles]
    validate(data)
    assert data.z.tolist() == z
    assert sorted(data.bond_order.tolist()) == orders
    assert data.bond_index.shape == (2, len(orders))
    assert data.pos.dtype == data.bond_order.dtype == torch.float32
    assert data.smiles == smiles
    lengths = (data.pos[data.bond_index[0]] - data.pos[data.bond_index[1]]).norm(dim=-1)
    assert ((lengths > 0.6) & (lengths < 1.7)).all()
    if len(z) > 1:
        assert torch.pdist(data.pos).min() > 0.6
    # Silent: RDKit reports to the file descriptors.
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("smiles", ["[Na+].[Cl-]", "O.O", "c1ccccc1.O", "CC(=O)[O-].[NH4+]", "[Na+].[Na+].[O-2]"])
def test_fragments_lie_side_by_side(chem, smiles):
    data = from_smiles(smiles)
    mol = chem.AddHs(chem.MolFromSmiles(smiles))
    fragment = torch.empty(len(data.z), dtype=torch.int64)
    for number, atoms in enumerate(chem.GetMolFrags(mol)):
        fragment[list(atoms)] = number
    between = torch.cdist(data.pos, data.pos)[fragment[:, None] != fragment]
    assert between.min() > 2.99
    assert between.min() < 5.0
    torch.testing.assert_close(data.pos.mean(dim=0), torch.zeros(3), rtol=0, atol=1e-5)


def test_linear_molecule_is_linear(chem):
    pos = from_smiles("C#N").pos.double()
    assert torch.linalg.svdvals(pos - pos.mean(dim=0))[1] < 1e-2


def test_seed_decides_the_conformer(chem):
    smiles = "CCCCC(O)CO"
    first, again, other = (from_smiles(smiles, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.pos, again.pos)
    assert (torch.pdist(first.pos) - torch.pdist(other.pos)).abs().max() > 0.1


def test_relaxing_lowers_the_energy(chem):
    from rdkit.Chem import rdForceFieldHelpers as force_fields

    def energy(data):
        mol = chem.AddHs(chem.MolFromSmiles(data.smiles))
        conformer = chem.Conformer(mol.GetNumAtoms())
        for atom, position in enumerate(data.pos.tolist()):
            conformer.SetAtomPosition(atom, position)
        mol.AddConformer(conformer)
        return force_fields.MMFFGetMoleculeForceField(mol, force_fields.MMFFGetMoleculeProperties(mol)).CalcEnergy()

    assert energy(from_smiles("CCO")) < energy(from_smiles("CCO", optimize=False)) - 0.1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("C(",), r"smiles must be a valid SMILES string; got 'C\(': syntax error. Correct it"),
        (("C(C)(C)(C)(C)C",), "Explicit valence for atom # 0 C, 5, is greater than permitted"),
        (("c1cccc1",), "got 'c1cccc1': Can't kekulize"),
        (("",), "smiles must hold at least one atom; got ''"),
        (("*C",), r"must not have dummy atoms; atom 0 is one \(\* in SMILES\)"),
        (("CO", -1), "seed must be 0 or above.*got -1"),
        (("C[Fe]C",), "Neither MMFF94 nor UFF has parameters for all atoms of smiles 'C.Fe.C'. Pass optimize=False"),
        (("C1#CC1",), "No conformer could be embedded.*Try another seed"),
    ],
)
def test_smiles_refuses(chem, arguments, match, capfd):
    with pytest.raises(ValueError, match=match):
        from_smiles(*arguments)
    assert capfd.readouterr() == ("", "")


def test_elements_without_a_force_field_can_be_embedded(chem):
    assert len(from_smiles("C[Fe]C", optimize=False).z) == 9


def test_rdkit_conformers(chem):
    from rdkit.Chem import rdDistGeom

    mol = chem.AddHs(chem.MolFromSmiles("OCC"))
    rdDistGeom.EmbedMultipleConfs(mol, 3, randomSeed=1)
    first, last = from_rdkit(mol), from_rdkit(mol, conformer=2)
    for data, number in ((first, 0), (last, 2)):
        torch.testing.assert_close(data.pos, torch.tensor(mol.GetConformer(number).GetPositions()).float())
        assert data.smiles == "CCO"
        validate(data)
    with pytest.raises(ValueError, match=r"conformer must be the id of one of the molecule's conformers \[0, 1, 2\]"):
        from_rdkit(mol, conformer=7)


def test_rdkit_refuses(chem):
    from rdkit.Chem import rdDepictor, rdDistGeom

    bare = chem.MolFromSmiles("CO")
    with pytest.raises(ValueError, match=r"conformers \[\].*got -1. Make one with"):
        from_rdkit(bare)
    rdDistGeom.EmbedMolecule(mol := chem.AddHs(bare), randomSeed=0)
    with pytest.raises(ValueError, match="mol must have explicit hydrogens; 4 are implicit"):
        from_rdkit(chem.RemoveHs(mol))
    rdDepictor.Compute2DCoords(mol)
    with pytest.raises(ValueError, match="must be three-dimensional; it is marked as a drawing"):
        from_rdkit(mol)
    with pytest.raises(TypeError, match="mol must be an rdkit.Chem.Mol; got str. For SMILES use from_smiles"):
        from_rdkit("CO")


def test_rdkit_contacts_are_no_bonds(chem):
    mol = chem.RWMol(chem.MolFromSmiles("[Na+].[Cl-]"))
    mol.AddBond(0, 1, chem.BondType.ZERO)
    conformer = chem.Conformer(2)
    conformer.SetAtomPosition(1, (2.4, 0.0, 0.0))
    mol.AddConformer(conformer)
    assert from_rdkit(mol.GetMol()).bond_index.shape == (2, 0)


def test_ase(ase):
    import ase.build

    atoms = ase.build.molecule("CH3CH2OH")
    data = from_ase(atoms)
    validate(data)
    assert data.z.tolist() == atoms.numbers.tolist()
    torch.testing.assert_close(data.pos, torch.tensor(atoms.positions).float())
    assert sorted(data.keys()) == ["pos", "z"]


def test_ase_results(ase):
    from ase.build import molecule
    from ase.calculators.emt import EMT
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = molecule("H2O")
    atoms.calc = EMT()
    assert sorted(from_ase(atoms).keys()) == ["pos", "z"]  # nothing is computed
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    data = from_ase(atoms)
    assert data.energy.dtype == torch.float64
    assert data.energy.tolist() == [energy]
    torch.testing.assert_close(data.forces, torch.tensor(forces).float())
    atoms.calc = SinglePointCalculator(atoms, energy=-3.5)
    assert sorted(from_ase(atoms).keys()) == ["energy", "pos", "z"]
    atoms.positions[0] += 1.0  # the stored result belongs to other positions
    assert sorted(from_ase(atoms).keys()) == ["pos", "z"]


def test_ase_refuses(ase):
    with pytest.raises(
        ValueError, match=r"atoms must not be periodic; got pbc=\[False, False, True\].*atoms.pbc = False"
    ):
        from_ase(ase.Atoms("H", [[0, 0, 0]], cell=[5, 5, 5], pbc=[False, False, True]))
    with pytest.raises(ValueError, match="z must lie in 1..118"):
        from_ase(ase.Atoms("X", [[0, 0, 0]]))
    with pytest.raises(ValueError, match="holds no atoms"):
        from_ase(ase.Atoms())
    with pytest.raises(TypeError, match="atoms must be an ase.Atoms; got list. Pass a trajectory frame by frame"):
        from_ase([ase.Atoms("H")])


@pytest.mark.parametrize(
    ("module", "call", "match"),
    [
        ("rdkit", lambda: from_smiles("O"), r"from_smiles and from_rdkit need RDKit.*pip install molspectra\[rdkit\]"),
        ("ase", lambda: from_ase(None), r"from_ase needs ASE.*pip install molspectra\[ase\]"),
    ],
)
def test_says_what_to_install(module, call, match, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=match):
        call()
