"""Force constants against those of the released SliDe, of RDKit, and the curvature of RDKit's energies."""

import json
import math
import pickle
import sys

import numpy as np
import pytest
import torch
from rdkit import Chem as chem
from torch_geometric.data import Batch, Data

from molspectra.data import from_smiles
from molspectra.data.chemistry.rdkit import to_rdkit
from molspectra.data.chemistry.smirnoff import SmirnoffForceField
from molspectra.data.transforms.force_constants import ForceConstants
from molspectra.geometry import topology

MILLIDYNE = 143.9325
GENERIC = {"bond_k": 0.058**-2, "angle_k": 0.129**-2, "torsion_k": 0.18**-2}
TURN = np.linspace(-math.pi, math.pi, 121)
ODD_MOLECULES = [
    "[H][H]",
    "[Na+]",
    "[Xe]",
    "[Na+].[Cl-]",
    "O.O",
    "C#N",
    "CC#CC",
    "C1CC1",
    "CC(=O)[O-].[NH4+]",
    "FP(F)F",
]


def with_terms(data):
    num_atoms = len(data.z)
    data.angle_index = topology.angles(data.bond_index, num_atoms)
    data.torsion_index = topology.torsions(data.bond_index, num_atoms)
    data.rotatable_index = topology.rotatable_bonds(data.bond_index, data.bond_order, num_atoms)
    return data


def molecule(smiles):
    return with_terms(from_smiles(smiles, optimize=False))


@pytest.fixture(scope="module")
def offxml(sample_files):
    return sample_files / "openff" / "openff-2.0.0.offxml"


@pytest.fixture(scope="module")
def published(reference):
    """Molecules with all terms that SliDe lists, and the constants of each: (name, molecule, key → array)."""
    molecules, rotations, internal, openff, rdkit = (
        np.load(reference / name)
        for name in (
            "frad/molecules.npz",
            "frad/torsion_noise.npz",
            "slide/internal.npz",
            "slide/params_openff200.npz",
            "slide/params_rdkit.npz",
        )
    )
    cases = []
    for entry in json.loads((reference / "slide" / "molecules.json").read_text()):
        key = f"{entry['id']}."
        fields = {name: torch.from_numpy(molecules[key + name]) for name in ("z", "pos", "bond_order", "formal_charge")}
        data = Data(
            **fields,
            bond_index=torch.from_numpy(molecules[key + "bond_index"]).sort(dim=0).values,
            angle_index=torch.from_numpy(internal[key + "angles"]).t(),
            torsion_index=torch.from_numpy(internal[key + "torsions"]).t(),
            rotatable_index=torch.from_numpy(rotations[key + "quads"]).reshape(-1, 4).t(),
        )
        expected = {name.removeprefix(key): openff[name] for name in openff.files if name.startswith(key)}
        expected |= {name.removeprefix(key): rdkit[name] for name in rdkit.files if name.startswith(key)}
        expected["degenerate"] = internal[key + "torsion_degenerate"]
        expected["bond_aromatic"] = molecules[key + "bond_aromatic"]
        cases.append((entry["name"], data, expected))
    return cases


def test_openff_are_those_of_the_released_slide(published, offxml):
    transform = ForceConstants.from_offxml(offxml)
    codes = set()
    for name, data, expected in published:
        labelled = transform(data)
        for kind in ("bond", "angle", "torsion"):
            sigma = labelled[f"{kind}_k"] ** -0.5
            assert sigma.dtype == torch.float64
            np.testing.assert_allclose(sigma, expected[f"{kind}_sigma"], rtol=1e-14, err_msg=name)
        # 2 is a first coefficient of zero, 3 a negative one
        np.testing.assert_array_equal(labelled.torsion_frozen, expected["torsion_code"] >= 2, name)
        codes |= set(expected["torsion_code"].tolist())
    assert {1, 3} <= codes


def expect(raw, generic):
    return np.where(np.nan_to_num(raw) > 0, raw, generic)


def same_aromaticity(data, expected):
    """Whether RDKit finds those bonds aromatic that the constants were computed with.

    RDKit's MMFF94 leaves a molecule with its own aromaticity, which reached UFF in molecules such as caffeine.
    """
    return [bond.GetIsAromatic() for bond in to_rdkit(data).GetBonds()] == expected["bond_aromatic"].tolist()


def test_uff_constants(published):
    num_compared = 0
    for name, data, expected in published:
        if not same_aromaticity(data, expected):
            continue
        labelled = ForceConstants("uff")(data)
        for field, raw in (("bond_k", expected["uff_bond_k"]), ("angle_k", expected["uff_angle_k"])):
            np.testing.assert_allclose(labelled[field], expect(raw, GENERIC[field]), rtol=1e-12, err_msg=name)
        num_compared += 1
    assert num_compared >= 0.9 * len(published)


def test_uff_torsions_share_the_barrier_of_their_bond(published):
    """Σ k over the torsions about a bond is V n^2 / 2 where they are alike, with n = 2, 3 or 6."""
    num_compared = 0
    for name, data, expected in published:
        if not same_aromaticity(data, expected):
            continue
        labelled = ForceConstants("uff")(data)
        barriers = np.where(expected["degenerate"], np.nan, expected["uff_torsion_V"])
        central = data.torsion_index[1:3].t().numpy()
        for bond in np.unique(central, axis=0):
            about = (central == bond).all(axis=1) & ~expected["degenerate"]
            if not np.ptp(barriers[about]) < 1e-9:  # of several kinds, or missing
                continue
            order = math.sqrt(2 * float(labelled.torsion_k[about].sum()) / barriers[about][0])
            assert min(abs(order - n) for n in (2, 3, 6)) < 1e-6, name
            num_compared += 1
    assert num_compared > 100


def test_mmff_constants(published):
    for name, data, expected in published:
        if np.isnan(expected["mmff_bond_kb_mdyn_per_A"]).all():
            with pytest.raises(ValueError, match="MMFF94 must have types for all atoms of the molecule"):
                ForceConstants("mmff")(data)
            continue
        labelled = ForceConstants("mmff")(data)
        bond, angle = expected["mmff_bond_kb_mdyn_per_A"], expected["mmff_angle_ka_mdynA_per_rad2"]
        np.testing.assert_allclose(labelled.bond_k, expect(bond * MILLIDYNE, GENERIC["bond_k"]), 1e-12, 0, name)
        np.testing.assert_allclose(labelled.angle_k, expect(angle * MILLIDYNE, GENERIC["angle_k"]), 1e-12, 0, name)
        torsion = np.abs(expected["mmff_torsion_V"]) @ np.array([0.5, 2.0, 4.5])
        generic = ForceConstants.generic()(data).torsion_k
        np.testing.assert_allclose(labelled.torsion_k, expect(torsion, generic), 1e-12, 0, name)


def curvature(energy, at, step):
    return (energy(at + step) - 2 * energy(at) + energy(at - step)) / step**2


def uff_energy(mol):
    from rdkit.Chem import rdForceFieldHelpers

    # Without van der Waals terms only the torsion changes when one bond is turned.
    return rdForceFieldHelpers.UFFGetMoleculeForceField(mol, vdwThresh=0.0).CalcEnergy()


@pytest.mark.parametrize(
    ("smiles", "bond", "periodicity"),
    [
        ("CC", (0, 1), 3),  # sp3-sp3
        ("COC", (0, 1), 3),
        ("OO", (0, 1), 2),  # two chalcogens
        ("CSSC", (1, 2), 2),
        ("OS", (0, 1), 2),
        ("C=C", (0, 1), 2),  # sp2-sp2
        ("C=CC=C", (1, 2), 2),
        ("NC=O", (0, 1), 2),
        ("CB", (0, 1), 6),  # sp3-sp2
        ("BO", (0, 1), 2),  # chalcogen sp3, sp2
        ("CC=C", (0, 1), None),  # sp3-sp2-sp2 and sp3-sp2-hydrogen
        ("CC=O", (0, 1), None),
    ],
)
def test_uff_torsions_are_the_curvature_of_the_energy(smiles, bond, periodicity):
    from rdkit.Chem import rdMolTransforms

    data = molecule(smiles)
    labelled = ForceConstants("uff")(data)
    central = labelled.torsion_index[1:3].sort(dim=0).values
    about = (central == torch.tensor(bond)[:, None]).all(dim=0)
    quadruple = labelled.torsion_index[:, about][:, 0].tolist()
    mol = to_rdkit(data)
    # Regular angles, so that all torsions about the bond have their minima together.
    regular(mol, bond)

    def energy(phi):
        rdMolTransforms.SetDihedralRad(mol.GetConformer(), *quadruple, phi)
        return uff_energy(mol)

    lowest = min(TURN, key=energy)
    total = float(labelled.torsion_k[about].double().sum())
    assert curvature(energy, lowest, 1e-3) == pytest.approx(total, rel=2e-4)
    if periodicity is not None:
        barrier = max(map(energy, TURN)) - energy(lowest)
        assert total == pytest.approx(barrier * periodicity**2 / 2, rel=1e-3)


def regular(mol, bond):
    """Turn the substituents of a bond's atoms so that they are evenly spread about it."""
    conformer = mol.GetConformer()
    positions = conformer.GetPositions()
    for end, other in (bond, bond[::-1]):
        axis = positions[end] - positions[other]
        axis /= np.linalg.norm(axis)
        around = [atom.GetIdx() for atom in mol.GetAtomWithIdx(end).GetNeighbors() if atom.GetIdx() != other]
        first = positions[around[0]] - positions[end]
        first -= (first @ axis) * axis
        first /= np.linalg.norm(first)
        second = np.cross(axis, first)
        spread = 2 if mol.GetAtomWithIdx(end).GetHybridization() == chem.HybridizationType.SP2 else 3
        for number, atom in enumerate(around):
            old = positions[atom] - positions[end]
            along, across = old @ axis, np.linalg.norm(old - (old @ axis) * axis)
            turn = 2 * math.pi * number / spread
            new = along * axis + across * (math.cos(turn) * first + math.sin(turn) * second)
            move = positions[end] + new - positions[atom]
            for index in side(mol, end, atom):
                conformer.SetAtomPosition(index, (positions[index] + move).tolist())


def side(mol, stay, start):
    reached, queue = {start}, [start]
    while queue:
        new = {n.GetIdx() for n in mol.GetAtomWithIdx(queue.pop()).GetNeighbors()} - reached - {stay}
        reached |= new
        queue += new
    return reached


def mmff_energy(mol, **terms):
    """Energy of some terms of MMFF94 alone."""
    from rdkit.Chem import rdForceFieldHelpers

    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
    for name in ("Bond", "Angle", "StretchBend", "Oop", "Torsion", "VdW", "Ele"):
        getattr(properties, f"SetMMFF{name}Term")(name in terms)
    return rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties).CalcEnergy()


def test_mmff_bonds_and_angles_are_the_curvature_of_the_energy():
    from rdkit.Chem import rdForceFieldHelpers, rdMolTransforms

    data = molecule("O")
    labelled = ForceConstants("mmff")(data)
    mol = to_rdkit(data)
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
    length = properties.GetMMFFBondStretchParams(mol, 0, 1)[2]
    angle = properties.GetMMFFAngleBendParams(mol, 1, 0, 2)[2]
    rdMolTransforms.SetBondLength(mol.GetConformer(), 0, 2, length)

    def stretch(x):
        rdMolTransforms.SetBondLength(mol.GetConformer(), 0, 1, x)
        return mmff_energy(mol, Bond=True)

    def bend(x):
        rdMolTransforms.SetAngleRad(mol.GetConformer(), 1, 0, 2, x)
        return mmff_energy(mol, Angle=True)

    assert curvature(stretch, length, 1e-3) == pytest.approx(float(labelled.bond_k[0]), rel=1e-4)
    assert curvature(bend, math.radians(angle), 1e-3) == pytest.approx(float(labelled.angle_k[0]), rel=1e-4)


def test_mmff_torsions_are_the_scale_of_the_curvature():
    from rdkit.Chem import rdMolTransforms

    data = molecule("SS")
    mol = to_rdkit(data)
    phis = np.arange(12) * math.pi / 6
    energies = []
    for phi in phis:
        rdMolTransforms.SetDihedralRad(mol.GetConformer(), *data.torsion_index[:, 0].tolist(), phi)
        energies.append(mmff_energy(mol, Torsion=True))
    amplitudes = [2 / 12 * np.cos(n * phis) @ energies for n in (1, 2, 3)]  # ± V_n / 2
    scale = sum(n**2 * abs(amplitude) for n, amplitude in enumerate(amplitudes, start=1))
    assert min(map(abs, amplitudes)) > 0.1  # all three, of either sign
    assert float(ForceConstants("mmff")(data).torsion_k[0]) == pytest.approx(scale, rel=1e-6)


def test_generic_by_hand():
    propene = ForceConstants.generic()(molecule("C=CC"))  # 0=1-2, hydrogens
    assert propene.bond_k.tolist() == pytest.approx([1 / 0.058**2] * 8)
    assert propene.angle_k.tolist() == pytest.approx([1 / 0.129**2] * propene.angle_index.shape[1])
    expected = [0.18**-2 if {j, k} == {0, 1} else 1.0 for _, j, k, _ in propene.torsion_index.t().tolist()]
    assert set(expected) == {0.18**-2, 1.0}
    assert propene.torsion_k.tolist() == pytest.approx(expected)


def test_generic_does_without_rdkit_and_bond_orders(monkeypatch):
    data = molecule("CO")
    del data.bond_order
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert ForceConstants.generic()(data).bond_k.tolist() == pytest.approx([0.058**-2] * 5)
    with pytest.raises(ImportError, match=r"needs RDKit.*pip install molspectra\[rdkit\]"):
        ForceConstants("uff")(data)


@pytest.mark.parametrize("source", ["uff", "mmff", "generic", "openff"])
def test_terms_may_come_in_any_order_and_direction(source, offxml):
    transform = ForceConstants.from_offxml(offxml) if source == "openff" else ForceConstants(source)
    data = molecule("CC(=O)NCC#N")
    labelled = transform(data)
    generator = torch.Generator().manual_seed(0)
    shuffled = data.clone()
    order = {}
    for field in ("angle_index", "torsion_index", "rotatable_index"):
        order[field] = torch.randperm(data[field].shape[1], generator=generator)
        shuffled[field] = data[field][:, order[field]].flip(0)
    order["bond_index"] = torch.randperm(data.bond_index.shape[1], generator=generator)
    shuffled.bond_index = data.bond_index[:, order["bond_index"]]
    shuffled.bond_order = data.bond_order[order["bond_index"]]
    again = transform(shuffled)
    for field in ("bond", "angle", "torsion"):
        torch.testing.assert_close(again[f"{field}_k"], labelled[f"{field}_k"][order[f"{field}_index"]])
    # A term has the same constant whether or not other terms are listed.
    part = data.clone()
    part.torsion_index = data.torsion_index[:, 3:5]
    torch.testing.assert_close(transform(part).torsion_k, labelled.torsion_k[3:5])


@pytest.mark.parametrize(
    ("source", "smiles"),
    [
        (source, smiles)
        for source in ("uff", "mmff", "generic", "openff")
        for smiles in ODD_MOLECULES
        if source != "mmff" or smiles not in ("[H][H]", "[Xe]", "FP(F)F")  # MMFF94 has no types
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_odd_molecules(source, smiles, dtype, offxml, capfd):
    transform = ForceConstants.from_offxml(offxml) if source == "openff" else ForceConstants(source)
    data = molecule(smiles)
    data.pos = data.pos.to(dtype)
    labelled = transform(data)
    for kind in ("bond", "angle", "torsion"):
        k = labelled[f"{kind}_k"]
        assert k.shape == data[f"{kind}_index"].shape[1:]
        assert k.dtype == dtype
        assert ((k > 0.01) & (k < 5000)).all()
    assert ("torsion_frozen" in labelled) == (source == "openff")
    assert capfd.readouterr() == ("", "")
    assert "bond_k" not in data  # the input is unchanged


@pytest.mark.filterwarnings("ignore:Lengths of the bonds of Pt1:UserWarning")  # of from_smiles
@pytest.mark.parametrize("smiles", ["C[Fe]C", "F[Xe]F", "C[Pt](N)(Cl)Cl"])
def test_what_uff_cannot_type_is_generic_and_silent(smiles, capfd):
    data = molecule(smiles)
    capfd.readouterr()
    labelled = ForceConstants("uff")(data)
    assert capfd.readouterr() == ("", "")
    at_metal = (data.z[data.bond_index] > 20).any(dim=0)
    assert labelled.bond_k[at_metal].tolist() == pytest.approx([0.058**-2] * int(at_metal.sum()))
    assert (labelled.bond_k[~at_metal] > 600).all()


def test_frozen_torsions_do_not_outlive_their_force_field(offxml):
    labelled = ForceConstants.from_offxml(offxml)(molecule("CC#CC"))
    assert labelled.torsion_frozen.any()
    assert "torsion_frozen" not in ForceConstants("uff")(labelled)


def test_representation_and_pickle(offxml):
    transform = ForceConstants.from_offxml(offxml)
    assert repr(transform) == "ForceConstants.from_offxml('openff-2.0.0.offxml')"
    assert repr(ForceConstants()) == "ForceConstants('uff')"
    assert repr(ForceConstants.generic()) == "ForceConstants('generic')"
    data = molecule("CCO")
    again = pickle.loads(pickle.dumps(transform))(data)
    assert torch.equal(again.torsion_k, transform(data).torsion_k)
    assert torch.equal(again.torsion_k, ForceConstants(SmirnoffForceField(offxml))(data).torsion_k)


def test_batches_with_others(offxml):
    transform = ForceConstants.from_offxml(offxml)
    molecules = [transform(molecule(smiles)) for smiles in ("CCO", "[Xe]", "C#N")]
    batch = Batch.from_data_list(molecules)
    for field in ("bond_k", "angle_k", "torsion_k", "torsion_frozen"):
        assert torch.equal(batch[field], torch.cat([data[field] for data in molecules]))


@pytest.mark.parametrize("field", ["bond_index", "angle_index", "torsion_index", "rotatable_index"])
def test_refuses_molecules_without_terms(field):
    data = molecule("CCO")
    index = data[field]
    del data[field]
    with pytest.raises(ValueError, match=rf"must have {field}; its fields are.*transforms.AddTopology\(\)"):
        ForceConstants("uff")(data)
    data[field] = index.t()
    with pytest.raises(ValueError, match=rf"{field} must have shape \({len(index)}, n\).*got \({index.shape[1]},"):
        ForceConstants("uff")(data)


def test_refuses():
    with pytest.raises(ValueError, match="data must be one molecule; got a Batch.*transform or pre_transform"):
        ForceConstants()(Batch.from_data_list([molecule("O")]))
    with pytest.raises(ValueError, match="source must be 'uff', 'mmff', 'generic'.*got 'openff'.*from_offxml"):
        ForceConstants("openff")
    data = molecule("B(O)(O)O")
    with pytest.raises(ValueError, match=r"none for some of B\(O\)\(O\)O. Use ForceConstants\('uff'\)"):
        ForceConstants("mmff")(data)
    del data.smiles
    with pytest.raises(ValueError, match=r"none for some of atomic numbers \[1, 5, 8\]"):
        ForceConstants("mmff")(data)
