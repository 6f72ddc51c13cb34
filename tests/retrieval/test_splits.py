"""Splits, and molecules that two sets share."""

import hashlib

import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.DataStructs import TanimotoSimilarity

from molspectra.data import MiniSpectra
from molspectra.retrieval import leakage, splits


@pytest.fixture(scope="module")
def smiles():
    return [molecule.smiles for molecule in MiniSpectra("all")]


def part_of(split):
    return {row: name for name, rows in split._asdict().items() for row in rows.tolist()}


@pytest.mark.parametrize("make", [splits.random, splits.scaffold, splits.formula])
def test_splits_are_complete_stable_and_seeded(make, smiles):
    split = make(smiles)
    assert sorted(torch.cat(split).tolist()) == list(range(len(smiles)))
    assert all(torch.equal(part, part.sort().values) and part.dtype == torch.int64 for part in split)
    assert all(map(torch.equal, split, make(smiles)))
    assert part_of(make(smiles, seed=1)) != part_of(split)
    # More molecules, in another order and spelling, leave the others where they are.
    more = ["CCCCCCCCCBr", *(Chem.MolToSmiles(Chem.MolFromSmiles(text), canonical=False) for text in smiles)]
    moved = part_of(make(more))
    assert part_of(split) == {row: moved[row + 1] for row in range(len(smiles))}


def test_parts_are_as_large_as_asked():
    split = splits.by_group([str(number) for number in range(10_000)], (0.5, 0.2, 0.3))
    for part, share in zip(split, (0.5, 0.2, 0.3), strict=True):
        # Four standard deviations of a binomial number.
        assert abs(len(part) - share * 10_000) < 4 * (10_000 * share * (1 - share)) ** 0.5
    assert [len(part) for part in splits.by_group(["a", "b"], (0, 0, 1))] == [0, 0, 2]


def test_the_documented_procedure():
    groups = ["a", "b", "c", "d"]
    shares = [int(hashlib.blake2b(f"7:{group}".encode()).hexdigest()[:16], 16) / 16**16 for group in groups]
    expected = ["train" if share < 0.4 else "validation" if share < 0.7 else "test" for share in shares]
    found = part_of(splits.by_group(groups, (0.4, 0.3, 0.3), seed=7))
    assert [found[row] for row in range(4)] == expected


def test_groups_are_not_divided(smiles):
    scaffolds = [MurckoScaffold.MurckoScaffoldSmiles(text) for text in smiles]
    formulas = [Chem.rdMolDescriptors.CalcMolFormula(Chem.MolFromSmiles(text)) for text in smiles]
    for split, groups in ((splits.scaffold(smiles), scaffolds), (splits.formula(smiles), formulas)):
        parts = part_of(split)
        for group in set(groups) - {""}:
            assert len({parts[row] for row, name in enumerate(groups) if name == group}) == 1
    acyclic = {part for row, part in part_of(splits.scaffold(smiles)).items() if not scaffolds[row]}
    assert len(acyclic) == 3
    stereoisomers = splits.random(["C/C=C/C", r"C/C=C\C"], (0.5, 0, 0.5))
    assert len(set(part_of(stereoisomers).values())) == 1


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: splits.random(["C"], (0.5, 0.5)), ValueError, "three shares"),
        (lambda: splits.random(["C"], (0.5, 0.1, 0.1)), ValueError, "sum to 1"),
        (lambda: splits.random(["C"], (1.5, -0.5, 0)), ValueError, "three shares"),
        (lambda: splits.scaffold(["C", "x"]), ValueError, "smiles, number 1: "),
        (lambda: splits.formula("CCO"), TypeError, "smiles of formula must be a list; got 'CCO'"),
        (lambda: splits.random(["C", ""]), ValueError, "number 1: .* no atoms"),
        (lambda: splits.by_group([1, 2]), TypeError, r"groups\[0\] of by_group must be a str; got 1"),
        (lambda: leakage([], ["C"]), ValueError, "got 0 for training and 1 for test"),
        (lambda: leakage(["C"], ["C"], threshold=85), ValueError, "0..1; got 85"),
        (lambda: leakage(["C"], ["C", "C(("]), ValueError, "test, number 1"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_leakage_against_a_loop(smiles):
    train, test = smiles[:60], smiles[60:90]
    found = leakage(train, test, threshold=0.5)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    known, asked = ([generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in part] for part in (train, test))
    similarities = torch.tensor(
        [[TanimotoSimilarity(one, other) for other in known] for one in asked], dtype=torch.float64
    )
    torch.testing.assert_close(found.similarity.double(), similarities.amax(dim=1))
    assert torch.equal(found.nearest, similarities.argmax(dim=1))
    assert found.offenders == (similarities.amax(dim=1) >= 0.5).nonzero().squeeze(1).tolist()
    assert found.quantiles((0.5,))[0.5] == pytest.approx(similarities.amax(dim=1).quantile(0.5).item())


def test_one_molecule_in_other_forms_is_found():
    train = ["OCC", "N[C@@H](C)C(=O)O", "CC(O)=CC(C)=O", "c1ccccc1"]
    test = ["CCO", "N[C@H](C)C(O)=O", "[2H]CCO", "CCCl"]
    found = leakage(train, test)
    assert found.same.tolist() == [[0, 0], [1, 1], [2, 0]]
    assert found.offenders == [0, 1, 2]
    assert "3 of 4 test molecules in training" in repr(found)
    assert found._repr_html_().count("<td") == 3 * 4
