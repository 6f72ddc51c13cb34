"""Geometries from SMILES against experiment, and the check that refuses those that cannot be."""

import math

import numpy as np
import pytest
import torch
from rdkit import Chem

from molspectra.data import MiniSpectra, from_smiles
from molspectra.data.chemistry import conformers
from molspectra.data.chemistry.bond_lengths import delocalized_orders, expected_lengths

TOLERANCE = 0.1  # Å

# Bond lengths in Å from experiment, in the gas phase or, for ions, in crystals (CRC Handbook of Chemistry and Physics,
# structures of molecules; NIST Computational Chemistry Comparison and Benchmark DataBase): atoms → length.
MEASURED = {
    "O=C=O": {(0, 1): 1.160},
    "N#N": {(0, 1): 1.098},
    "C#N": {(0, 1): 1.153},
    "[C-]#N": {(0, 1): 1.177},
    "[C-]#[O+]": {(0, 1): 1.128},
    "O=[C]": {(0, 1): 1.128},
    "N#[N+][O-]": {(0, 1): 1.128, (1, 2): 1.184},
    "[N-]=[N+]=O": {(0, 1): 1.128, (1, 2): 1.184},
    "S=C=S": {(0, 1): 1.553},
    "O=C=S": {(0, 1): 1.156, (1, 2): 1.561},
    "C#C": {(0, 1): 1.203},
    "C#CC#C": {(0, 1): 1.218, (1, 2): 1.384},
    "N#CC#N": {(0, 1): 1.154, (1, 2): 1.389},
    "O=O": {(0, 1): 1.208},
    "[O-][O+]=O": {(0, 1): 1.278, (1, 2): 1.278},
    "O=N[O-]": {(0, 1): 1.24, (1, 2): 1.24},
    "O=[N+]([O-])[O-]": {(0, 1): 1.25, (1, 2): 1.25, (1, 3): 1.25},
    "O=C([O-])[O-]": {(0, 1): 1.29, (1, 2): 1.29},
    "O=[N+]=O": {(0, 1): 1.15},
    "[N]=O": {(0, 1): 1.151},
    "N=O": {(0, 1): 1.212},
    "C=C=C": {(0, 1): 1.308},
    "C=C=C=C": {(0, 1): 1.318, (1, 2): 1.283},
    "O=C=C=C=O": {(0, 1): 1.163, (1, 2): 1.289},
    "C=C=O": {(0, 1): 1.314, (1, 2): 1.161},
    "N=C=O": {(0, 1): 1.214, (1, 2): 1.166},
    "N=C=S": {(0, 1): 1.216, (1, 2): 1.561},
    "[N-]=C=O": {(0, 1): 1.22, (1, 2): 1.17},
    "[O-]C#N": {(0, 1): 1.17, (1, 2): 1.22},
    "C#[N+][O-]": {(0, 1): 1.168, (1, 2): 1.199},
    "CN=[N+]=[N-]": {(1, 2): 1.216, (2, 3): 1.113},
    "N=[N+]=[N-]": {(0, 1): 1.243, (1, 2): 1.134},
    "[N-]=[N+]=[N-]": {(0, 1): 1.18, (1, 2): 1.18},
    "C=[N+]=[N-]": {(0, 1): 1.300, (1, 2): 1.139},
    "C[P+](C)(C)[CH2-]": {(1, 4): 1.640},
    "C=P(C)(C)C": {(0, 1): 1.640},
    "C[N+](C)(C)[O-]": {(1, 4): 1.388},
    "CS(C)=O": {(1, 3): 1.485},
    "C[S+](C)[O-]": {(1, 3): 1.485},
    "O=S=O": {(0, 1): 1.431},
    "O=S(=O)=O": {(0, 1): 1.420},
    "OS(=O)(=O)O": {(1, 2): 1.422},
    "[O-]Cl(=O)(=O)=O": {(0, 1): 1.45, (1, 2): 1.45},
    "N#SF": {(0, 1): 1.448},
    "S=S": {(0, 1): 1.889},
    "C=S": {(0, 1): 1.611},
    "P#P": {(0, 1): 1.893},
    "C#P": {(0, 1): 1.540},
    "O=P(Cl)(Cl)Cl": {(0, 1): 1.449},
    "O=[Si]=O": {(0, 1): 1.51},
    "B": {(0, 1): 1.19},
    "BB": {(0, 1): 1.70},
    "FB(F)F": {(0, 1): 1.307},
    "F[B-](F)(F)F": {(0, 1): 1.39},
    "[BH3-][NH3+]": {(0, 1): 1.658},
    "F": {(0, 1): 0.917},
    "Cl": {(0, 1): 1.275},
    "Br": {(0, 1): 1.414},
    "I": {(0, 1): 1.609},
    "FF": {(0, 1): 1.412},
    "ClCl": {(0, 1): 1.988},
    "FCl": {(0, 1): 1.628},
    "ICl": {(0, 1): 2.321},
    "OO": {(0, 1): 1.475},
    "FOF": {(0, 1): 1.405},
    "ClC#N": {(0, 1): 1.631, (1, 2): 1.159},
    "[Na]Cl": {(0, 1): 2.361},
    "Cl[Hg]Cl": {(0, 1): 2.25},
    "Cl[Sn](Cl)(Cl)Cl": {(0, 1): 2.280},
    "F[P-](F)(F)(F)(F)F": {(0, 1): 1.60, (1, 6): 1.60},
    "FS(F)(F)(F)(F)F": {(0, 1): 1.561, (1, 6): 1.561},
    "F[Si-2](F)(F)(F)(F)F": {(0, 1): 1.69},
    "F[As-](F)(F)(F)(F)F": {(0, 1): 1.71},
    "F[Sb-](F)(F)(F)(F)F": {(0, 1): 1.88},
    "FP(F)(F)(F)F": {(0, 1): 1.55},
    "ClP(Cl)(Cl)(Cl)Cl": {(0, 1): 2.05},
    "F[Xe]F": {(0, 1): 1.977},
    "F[Xe](F)(F)F": {(0, 1): 1.95},
    "O=[Xe](F)(F)(F)F": {(0, 1): 1.703, (1, 2): 1.90},
    "I[I-]I": {(0, 1): 2.92},
    # Bridges, radicals, small rings, weak bonds of NO and NO2, and metals, which do not follow from radii.
    "F[H-]F": {(0, 1): 1.145, (1, 2): 1.145},
    "[O][O]": {(0, 1): 1.208},
    "[S][S]": {(0, 1): 1.889},
    "[O]O": {(0, 1): 1.331},
    "[O-][O]": {(0, 1): 1.33},
    "[O]F": {(0, 1): 1.354},
    "[O]Cl": {(0, 1): 1.570},
    "[O]Br": {(0, 1): 1.717},
    "[O]N=O": {(0, 1): 1.193, (1, 2): 1.193},
    "[CH2]C=C": {(0, 1): 1.387, (1, 2): 1.387},
    "C1CS1": {(0, 1): 1.484, (1, 2): 1.815},
    "C1CP1": {(0, 1): 1.502, (1, 2): 1.867},
    "P12P3P1P23": {(0, 1): 2.21, (0, 3): 2.21},
    "FOOF": {(0, 1): 1.575, (1, 2): 1.217},
    "FSSF": {(0, 1): 1.635, (1, 2): 1.888},
    "ClSSCl": {(0, 1): 2.057, (1, 2): 1.931},
    "FN(F)N(F)F": {(0, 1): 1.37, (1, 3): 1.492},
    "O=NF": {(0, 1): 1.136, (1, 2): 1.512},
    "O=NCl": {(0, 1): 1.139, (1, 2): 1.975},
    "O=NBr": {(0, 1): 1.146, (1, 2): 2.14},
    "O=[N+]([O-])F": {(0, 1): 1.18, (1, 3): 1.467},
    "O=[N+]([O-])Cl": {(0, 1): 1.202, (1, 3): 1.840},
    "O=N[N+](=O)[O-]": {(0, 1): 1.142, (1, 2): 1.864},
    "O=[N+]([O-])[N+](=O)[O-]": {(0, 1): 1.190, (1, 3): 1.782},
    "CN(C)N=O": {(1, 3): 1.344},
    "CN(C)[N+](=O)[O-]": {(1, 3): 1.382},
    "O=[N+]([O-])O[N+](=O)[O-]": {(1, 3): 1.498, (3, 4): 1.498},
    "O=[N+]([O-])OCl": {(1, 3): 1.499, (3, 4): 1.673},
    "O=[N+]([O-])O": {(1, 3): 1.406},
    "CO[N+](=O)[O-]": {(1, 2): 1.402},
    "[SiH2]=C": {(0, 1): 1.704},
    "[Li]O": {(0, 1): 1.582},
    "[K]O": {(0, 1): 2.196},
    "[Na]C": {(0, 1): 2.30},
    "[O-]Br(=O)(=O)=O": {(0, 1): 1.61},
    "O=[Br](=O)[O-]": {(0, 1): 1.65},
    "[Li]F": {(0, 1): 1.564},
    "[Na]F": {(0, 1): 1.926},
    "[K]Cl": {(0, 1): 2.667},
    "[Cs]F": {(0, 1): 2.345},
    "C[Hg]C": {(0, 1): 2.083},
    "F[W](F)(F)(F)(F)F": {(0, 1): 1.832},
    "F[Pt](F)(F)(F)(F)F": {(0, 1): 1.850},
    "F[U](F)(F)(F)(F)F": {(0, 1): 1.996},
    "F[Pu](F)(F)(F)(F)F": {(0, 1): 1.971},
    "[O-]I(=O)(=O)=O": {(0, 1): 1.78, (1, 2): 1.78},
    "O=I(=O)[O-]": {(0, 1): 1.81, (1, 2): 1.81},
    "O=I(=O)c1ccccc1": {(0, 1): 1.80, (1, 2): 1.80, (1, 3): 2.01},
    "O=[Xe](=O)=O": {(0, 1): 1.76},
    "ClI(Cl)c1ccccc1": {(0, 1): 2.47, (1, 2): 2.47, (1, 3): 2.08},
    "Br[I-]Br": {(0, 1): 2.70},
}


def lengths_of(data, pairs):
    return {(i, j): float((data.pos[i] - data.pos[j]).norm()) for i, j in pairs}


@pytest.mark.parametrize("smiles", MEASURED)
def test_bonds_are_as_long_as_measured(smiles):
    found = lengths_of(from_smiles(smiles), MEASURED[smiles])
    wrong = {pair: length for pair, length in found.items() if abs(length - MEASURED[smiles][pair]) > TOLERANCE}
    assert not wrong, f"expected {MEASURED[smiles]}"


def test_bonds_to_the_poles_are_longer():
    """SF4: 1.545 Å to the equator, 1.646 Å to the poles. PF5: 1.534 and 1.577 Å."""
    for smiles, measured in [("FS(F)(F)F", [1.545] * 2 + [1.646] * 2), ("FP(F)(F)(F)F", [1.534] * 3 + [1.577] * 2)]:
        data = from_smiles(smiles)
        found = sorted((data.pos[data.z == 9] - data.pos[data.z != 9]).norm(dim=1).tolist())
        assert found == pytest.approx(measured, abs=0.06)


@pytest.mark.parametrize("smiles", ["C[Pt](C)(C)(C)(C)C", "F[La](F)(F)(F)(F)F"])
def test_unknown_lengths_give_a_warning(smiles):
    with pytest.warns(UserWarning, match="sums of covalent radii, which are 0.15 Å off for such metals"):
        from_smiles(smiles, optimize=False)


def test_bonds_that_a_force_field_misses_are_refused(monkeypatch):
    """UFF is wrong about I=O in iodylbenzene, so that the embedded positions are taken."""
    tried = []

    def record(*arguments):
        tried.append(relax(*arguments))
        return tried[-1]

    relax = conformers.relax
    monkeypatch.setattr(conformers, "relax", record)
    data = from_smiles("O=I(=O)c1ccccc1")
    assert all(abs(length - 1.79) < 0.05 for length in lengths_of(data, [(0, 1), (1, 2)]).values())
    assert abs(np.linalg.norm(tried[0][0] - tried[0][1]) - 1.79) > 0.08
    monkeypatch.setattr(conformers, "relax", lambda mol, *_: 1.06 * mol.GetConformer().GetPositions())
    with pytest.raises(ValueError, match=r"No sound geometry .* the bond O0-Cl1 of 1\.\d\d Å, expected 1.57 Å"):
        from_smiles("[O]Cl")


# Angles at the second atom of the SMILES.
SHAPES = {
    "F[P-](F)(F)(F)(F)F": {90, 180},
    "FS(F)(F)(F)(F)F": {90, 180},
    "F[Si-2](F)(F)(F)(F)F": {90, 180},
    "Cl[Te-2](Cl)(Cl)(Cl)(Cl)Cl": {90, 180},
    "FI(F)(F)(F)F": {90, 180},
    "F[Xe](F)(F)F": {90, 180},
    "F[Xe]F": {180},
    "I[I-]I": {180},
    "F[H-]F": {180},
    "ClP(Cl)(Cl)(Cl)Cl": {90, 120, 180},
    "FS(F)(F)F": {90, 120, 180},
    "FS(F)(F)(F)(F)c1ccccc1": {90, 180},
    "C[Sb](C)(C)(Cl)Cl": {90, 120, 180},
    "O=C=O": {180},
    "C#CC": {180},
}


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("smiles", SHAPES)
def test_shapes(smiles, optimize):
    for seed in range(3):
        data = from_smiles(smiles, seed, optimize)
        i, j = data.bond_index
        around = data.pos[[int(b if a == 1 else a) for a, b in zip(i, j, strict=True) if 1 in (a, b)]] - data.pos[1]
        directions = around / around.norm(dim=1, keepdim=True)
        angles = [
            math.degrees(math.acos(max(-1.0, min(1.0, float(directions[a] @ directions[b])))))
            for a in range(len(directions))
            for b in range(a)
        ]
        assert all(
            min(abs(angle - ideal) for ideal in SHAPES[smiles]) < (12 if optimize else 30) for angle in angles
        ), angles
        assert torch.pdist(data.pos).min() > 0.9


@pytest.mark.parametrize("optimize", [True, False])
def test_ionic_liquids(optimize):
    for seed in range(4):
        data = from_smiles("C[N+](C)(C)C.F[P-](F)(F)(F)(F)F", seed, optimize)
        fluorines = data.pos[data.z == 9]
        assert torch.pdist(fluorines).min() > 2.1
        assert torch.pdist(fluorines).max() < 3.4


@pytest.mark.parametrize(
    ("smiles", "orders"),
    [
        ("O=N[O-]", [1.5, 1.5]),
        ("N#[N+][O-]", [2.5, 1.5]),
        ("[N-]=[N+]=[N-]", [2, 2]),
        ("O=C([O-])[O-]", [4 / 3] * 3),
        ("[O-]Cl(=O)(=O)=O", [2] * 4),
        ("C[S+](C)[O-]", [1, 1, 2]),
        ("CC=O", [1, 2]),
    ],
)
def test_orders_are_averaged_over_resonance_forms(smiles, orders):
    assert delocalized_orders(Chem.MolFromSmiles(smiles)) == pytest.approx(orders)


def test_expected_lengths_fit_computed_geometries():
    """MiniSpectra's geometries were optimized by quantum chemistry."""
    from molspectra.data import to_rdkit

    errors = []
    for data in MiniSpectra("all")[::10]:
        i, j = data.bond_index
        expected = torch.tensor(expected_lengths(to_rdkit(data)))
        errors.append((data.pos[i] - data.pos[j]).norm(dim=1) / expected - 1)
    errors = torch.cat(errors)
    assert errors.abs().max() < 0.17
    assert errors.abs().mean() < 0.04


def test_ordinary_molecules_pass_the_check_at_the_first_seed(monkeypatch):
    seeds = []
    embed = conformers._embed

    def count(mol, smiles, seed, shapes):
        seeds.append(seed)
        embed(mol, smiles, seed, shapes)

    monkeypatch.setattr(conformers, "_embed", count)
    for data in MiniSpectra("all")[::12]:
        from_smiles(data.smiles)
    assert set(seeds) == {0}


def test_faulty_conformers_are_refused(monkeypatch):
    """Other seeds and the other force field are tried, and the error says which atoms are wrong."""
    tried = []

    def squeeze(mol, force_field, lengths, shapes):
        tried.append(force_field)
        return 0.5 * mol.GetConformer().GetPositions()

    monkeypatch.setattr(conformers, "relax", squeeze)
    with pytest.raises(ValueError, match=r"No sound geometry .* 'CO' with 5 seeds; .*the bond C0-O1 of 0\.\d\d Å, exp"):
        from_smiles("CO")
    assert tried == ["MMFF94", "UFF"] * 5

    def collide(mol, force_field, lengths, shapes):
        positions = mol.GetConformer().GetPositions()
        positions[4] = positions[3] + 0.3
        return positions

    monkeypatch.setattr(conformers, "relax", collide)
    with pytest.raises(ValueError, match=r"H3 and H4 0\.52 Å apart"):
        from_smiles("CO")


def test_another_seed_is_tried(monkeypatch):
    relax, calls = conformers.relax, []

    def fail_twice(mol, force_field, lengths, shapes):
        calls.append(force_field)
        return relax(mol, force_field, lengths, shapes) * (0.1 if len(calls) < 3 else 1)

    monkeypatch.setattr(conformers, "relax", fail_twice)
    data = from_smiles("CO")
    assert calls == ["MMFF94", "UFF", "MMFF94"]
    assert lengths_of(data, [(0, 1)])[0, 1] == pytest.approx(1.42, abs=0.02)
    assert torch.equal(data.pos, from_smiles("CO", seed=7919).pos)
