"""Molecules from SMILES, RDKit and ASE, and to RDKit: what comes out, from ordinary and from odd molecules."""

import json
import sys

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from molspectra.data import MiniSpectra, from_ase, from_rdkit, from_smiles, validate
from molspectra.data.chemistry.rdkit import to_rdkit

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

# What cannot be told from it by neutral valences: charged, hypervalent, aromatic with and without charge.
CHARGED = """
    C[N+](=O)[O-] CN=[N+]=[N-] [N-]=[N+]=[N-] C[N+](C)(C)[O-] [O-][n+]1ccccc1 [O-][n+]1cc[n+]([O-])cc1
    [Na+].[Na+].[O-2] [Mg+2].[Cl-].[Cl-] [O-2].[Zn+2] [C-]#[O+] C[N+]#[C-] [C-]#N N#[N+]c1ccccc1 C[N+]#N
    CS(C)(=O)=O CS(C)=O C[S+](C)[O-] C[S+](C)C C[S+](C)(C)=O C[S-] O=P([O-])([O-])[O-] COP(=O)(O)OC C=P(C)(C)C
    [CH2-][P+](C)(C)C F[B-](F)(F)F F[P-](F)(F)(F)(F)F F[Si-2](F)(F)(F)(F)F FS(F)(F)(F)(F)F F[Xe]F [Al-](Cl)(Cl)(Cl)Cl
    [O-]Cl(=O)(=O)=O O=S(=O)([O-])[O-] C[N-]S(C)(=O)=O [OH3+] [OH-] C[Mg]Br C[Hg]C [CH2-]C C=[O+]C C[N+](C)=C
    c1cc[nH]c1 c1cc[nH+]cc1 c1cc[o+]cc1 c1cc[n+]2ccccc2c1 Cn1cc[n+](C)c1 C[n+]1cc[n+](C)cc1 c1c[n-]cn1 [n-]1nnnn1
    c1cc[cH-]c1 c1cc[cH+]ccc1 c1c[cH+]1 [c-]1ccccc1 C[n+]1ccc(cc1)-c1cc[n+](C)cc1 c1ccc2cccc-2cc1 c1ccpcc1 b1ccccc1
    Cn1c(=O)c2[n-]cnc2n(C)c1=O Cn1c(=O)c2c(ncn2C)n(C)c1=O [BH-](n1cccn1)(n1cccn1)n1cccn1 F[B-](F)(F)[n+]1ccccc1
    [O-][n+]1onc2ccccc12 O=[N+]([O-])c1ccc([O-])cc1 CN(C)c1ccc2nc3ccc(cc3[s+]c2c1)N(C)C O=c1cc[nH]cc1 c1cc[se]c1
"""


@pytest.fixture(scope="module")
def chem():
    from rdkit import Chem

    return Chem


@pytest.fixture(scope="module")
def ase():
    import ase

    return ase


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
    assert data.formal_charge.dtype == torch.int64
    lengths = (data.pos[data.bond_index[0]] - data.pos[data.bond_index[1]]).norm(dim=-1)
    assert ((lengths > 0.6) & (lengths < 1.7)).all()
    if len(z) > 1:
        assert torch.pdist(data.pos).min() > 0.6
    # Silent: RDKit reports to the file descriptors.
    assert capfd.readouterr() == ("", "")
    mol = chem.AddHs(chem.MolFromSmiles(smiles))
    assert data.formal_charge.tolist() == [atom.GetFormalCharge() for atom in mol.GetAtoms()]


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
    assert data.pos.mean(dim=0).abs().max() < 1e-5


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
        (("CO", 2**31), "seed must be .* at most 2147483647; got 2147483648"),
        (("C[Fe]C",), "Neither MMFF94 nor UFF has parameters for all atoms of smiles 'C.Fe.C'. Pass optimize=False"),
        (("C1#CC1",), "No conformer could be embedded.*Try another seed"),
    ],
)
def test_smiles_refuses(chem, arguments, match, capfd):
    with pytest.raises(ValueError, match=match):
        from_smiles(*arguments)
    assert capfd.readouterr() == ("", "")


def test_a_failure_inside_rdkit_is_one_of_this_molecule(chem, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("Invariant Violation")

    monkeypatch.setattr(chem.rdDistGeom, "EmbedMolecule", fail)
    with pytest.raises(ValueError, match="RDKit fails to make a conformer for smiles 'CO': Invariant Violation"):
        from_smiles("CO")


def test_relaxing_leaves_the_bonds_alone(chem):
    caffeine = "Cn1c(=O)c2c(ncn2C)n(C)c1=O"  # MMFF94 calls the larger ring not aromatic
    mol = chem.AddHs(chem.MolFromSmiles(caffeine))
    for optimize in (True, False):
        data = from_smiles(caffeine, optimize=optimize)
        assert data.bond_order.tolist() == [bond.GetBondTypeAsDouble() for bond in mol.GetBonds()]


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
    unsanitized = chem.MolFromMolBlock(chem.MolToMolBlock(mol), sanitize=False, removeHs=False)
    unsanitized.GetConformer().Set3D(True)
    with pytest.raises(ValueError, match=r"mol must be sanitized; it is not. Call rdkit.Chem.SanitizeMol\(mol\)"):
        from_rdkit(unsanitized)
    with pytest.raises(TypeError, match="mol must be an rdkit.Chem.Mol; got str. For SMILES use from_smiles"):
        from_rdkit("CO")


def test_rdkit_contacts_are_no_bonds(chem):
    mol = chem.RWMol(chem.MolFromSmiles("[Na+].[Cl-]"))
    mol.AddBond(0, 1, chem.BondType.ZERO)
    conformer = chem.Conformer(2)
    conformer.SetAtomPosition(1, (2.4, 0.0, 0.0))
    mol.AddConformer(conformer)
    assert from_rdkit(mol.GetMol()).bond_index.shape == (2, 0)


def canonical(chem, mol):
    """SMILES without hydrogens and stereochemistry."""
    mol = chem.Mol(mol)
    chem.RemoveStereochemistry(mol)
    return chem.MolToSmiles(chem.RemoveHs(mol))


def without_charges(data):
    bare = data.clone()
    del bare.formal_charge
    return bare


@pytest.mark.parametrize("smiles", [*MOLECULES, *CHARGED.split()])
def test_to_rdkit_gives_the_molecule_back(chem, smiles, capfd):
    data = from_smiles(smiles, optimize=False)
    original = chem.AddHs(chem.MolFromSmiles(smiles))
    capfd.readouterr()
    with_charges, inferred = to_rdkit(data), to_rdkit(without_charges(data))
    assert capfd.readouterr() == ("", "")
    assert from_rdkit(with_charges).formal_charge.equal(data.formal_charge)
    for mol in (with_charges, inferred):
        for atom in (*original.GetAtoms(), *mol.GetAtoms()):
            atom.SetIsotope(0)
        assert canonical(chem, mol) == canonical(chem, original)
        assert [atom.GetAtomicNum() for atom in mol.GetAtoms()] == data.z.tolist()
        assert sum(atom.GetTotalNumHs() for atom in mol.GetAtoms()) == 0
        assert [bond.GetBondTypeAsDouble() for bond in mol.GetBonds()] == data.bond_order.tolist()
        pairs = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
        assert pairs == [tuple(pair) for pair in data.bond_index.t().tolist()]
        assert mol.GetConformer().Is3D()
        torch.testing.assert_close(torch.tensor(mol.GetConformer().GetPositions()).float().reshape(-1, 3), data.pos)


def test_to_rdkit_gives_the_reference_molecules_back(chem, reference):
    arrays = np.load(reference / "frad" / "molecules.npz")
    for entry in json.loads((reference / "frad" / "molecules.json").read_text())["molecules"]:
        fields = {name: torch.from_numpy(arrays[f"{entry['id']}.{name}"]) for name in ("z", "pos", "bond_order")}
        bond_index = torch.from_numpy(arrays[f"{entry['id']}.bond_index"]).sort(dim=0).values
        mol = to_rdkit(Data(**fields, bond_index=bond_index))
        assert canonical(chem, mol) == canonical(chem, chem.MolFromSmiles(entry["smiles"])), entry["name"]
        charges = [atom.GetFormalCharge() for atom in mol.GetAtoms()]
        assert charges == arrays[f"{entry['id']}.formal_charge"].tolist(), entry["name"]


def test_to_rdkit_knows_the_sample_data(chem):
    for data in MiniSpectra("all")[::5]:
        assert canonical(chem, to_rdkit(data)) == canonical(chem, chem.MolFromSmiles(data.smiles))


@pytest.mark.parametrize("smiles", ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C/C=C/C", "C/C=C\\C"])
def test_to_rdkit_reads_stereochemistry_from_the_positions(chem, smiles):
    mol = to_rdkit(from_smiles(smiles))
    assert chem.MolToSmiles(chem.RemoveHs(mol)) == chem.CanonSmiles(smiles)


def test_to_rdkit_takes_positions_that_make_no_sense(chem):
    data = from_smiles("C[C@H](N)C(=O)O")
    data.pos = torch.zeros_like(data.pos)
    assert canonical(chem, to_rdkit(data)) == "CC(N)C(=O)O"


@pytest.mark.parametrize(("smiles", "charge", "radicals"), [("[CH3+]", 1, 0), ("[CH3]", 0, 1), ("[H-]", -1, 0)])
def test_charges_that_are_given_count(chem, smiles, charge, radicals):
    atom = to_rdkit(from_smiles(smiles, optimize=False)).GetAtomWithIdx(0)
    assert (atom.GetFormalCharge(), atom.GetNumRadicalElectrons()) == (charge, radicals)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"bond_index": None}, ValueError, "bond_order needs bond_index"),
        ({"bond_order": None}, ValueError, r"data \(CO\) must have bond_order; its fields are"),
        (
            {"bond_order": torch.full((5,), 4.0)},
            ValueError,
            r"must be 1, 1.5 \(aromatic\), 2 or 3 for RDKit; got \[4.0\]",
        ),
        (
            {"bond_order": torch.full((5,), 2.0)},
            ValueError,
            r"data \(CO\) must.*valence.*were given; correct formal_ch",
        ),
        (
            {"bond_order": torch.full((5,), 2.0), "formal_charge": None},
            ValueError,
            "RDKit says: .*valence.*were taken from the bonds; set data.formal_charge, or correct bond_order",
        ),
        (
            {"bond_order": torch.tensor([1.5, 1, 1, 1, 1]), "formal_charge": None},
            ValueError,
            "non-ring atom 0 marked aromatic",
        ),
        (
            {"formal_charge": torch.zeros(6).half()},
            TypeError,
            "formal_charge must be an int64 tensor; got torch.float16",
        ),
        ({"formal_charge": 0}, TypeError, "formal_charge must be an int64 tensor; got int"),
        ({"formal_charge": torch.zeros(5).long()}, ValueError, r"formal_charge must have shape \(6,\).*got \(5,\)"),
        ({"pos": torch.full((6, 3), torch.nan)}, ValueError, "pos must be finite"),
    ],
)
def test_to_rdkit_refuses(chem, change, error, match):
    data = from_smiles("CO")
    for field, value in change.items():
        data[field] = value
    with pytest.raises(error, match=match):
        to_rdkit(data)


def test_to_rdkit_refuses_a_batch(chem):
    with pytest.raises(ValueError, match=r"one molecule; got a Batch. Convert each of batch.to_data_list\(\)"):
        to_rdkit(Batch.from_data_list([from_smiles("O")]))


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
        ("rdkit", lambda: from_smiles("O"), r"from_smiles needs RDKit.*pip install molspectra\[rdkit\]"),
        ("rdkit", lambda: to_rdkit(Data()), r"to_rdkit needs RDKit.*pip install molspectra\[rdkit\]"),
        ("ase", lambda: from_ase(None), r"from_ase needs ASE.*pip install molspectra\[ase\]"),
    ],
)
def test_says_what_to_install(module, call, match, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=match):
        call()
