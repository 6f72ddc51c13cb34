"""Measures of retrieval against loops, scikit-learn, RDKit and SciPy."""

import itertools
import sys
import types

import numpy as np
import pytest
import scipy.stats
import torch
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import TanimotoSimilarity
from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

from molspectra.retrieval import embeddings as embeddings_module
from molspectra.retrieval import evaluate, likeness, same_formula
from molspectra.retrieval import ranks as ranks_module
from molspectra.retrieval.bootstrap import bootstrap_means

SMILES = ["CCO", "CCN", "CCCO", "c1ccccc1", "Cc1ccccc1", "CC(C)=O", "CC=O", "OCCO"]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(embeddings_module, "ROWS", 7)
    monkeypatch.setattr(ranks_module, "QUERIES", 5)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_against_scikit_learn(similarity):
    library = torch.randn(30, 4)
    true = torch.randint(30, (40,))
    queries = library[true] + torch.randn(40, 4)
    found = evaluate(queries, library, true, k=(1, 3), similarity=similarity)
    scores = queries @ library.T
    if similarity == "cosine":
        scores = scores / library.norm(dim=1)
    for k in (1, 3):
        expected = top_k_accuracy_score(true.numpy(), scores.numpy(), k=k, labels=range(30))
        assert found.hit[k].value == pytest.approx(expected)
        assert found.chance[k] == pytest.approx(k / 30)
    # With one right label, the average precision is 1 / rank.
    labels = torch.nn.functional.one_hot(true, 30).numpy()
    assert found.mrr.value == pytest.approx(label_ranking_average_precision_score(labels, scores.numpy()))
    assert torch.equal(found.first, scores.argmax(dim=1))


@pytest.mark.usefixtures("small_blocks")
def test_ties_and_masks_against_all_orders():
    """Scores are whole numbers, so that many are equal."""
    library = torch.randint(3, (9, 1)).float()
    queries, true = torch.ones(11, 1), torch.randint(9, (11,))
    mask = torch.rand(11, 9) < 0.6
    mask[:9] |= torch.nn.functional.one_hot(true[:9], 9).bool()
    found = evaluate(queries, library, true, (1, 2, 5), mask, similarity="dot")
    hits, reciprocals = np.zeros((11, 3)), np.zeros(11)
    for query, (allowed, target) in enumerate(zip(mask, true.tolist(), strict=True)):
        rows = allowed.nonzero().squeeze(1).tolist()
        assert found.first[query] in rows
        assert library[found.first[query]] == library[rows].max()
        if target not in rows:
            assert found.rank[query] == torch.inf
            continue
        equal = [row for row in rows if library[row] == library[target]]
        better = sum(bool(library[row] > library[target]) for row in rows)
        # The place of the right row among its equals in each order of them.
        places = [better + 1 + place for place in range(len(equal))]
        assert found.rank[query] == pytest.approx(np.mean(places))
        hits[query] = [np.mean([place <= k for place in places]) for k in (1, 2, 5)]
        reciprocals[query] = np.mean([1 / place for place in places])
    assert [found.hit[k].value for k in (1, 2, 5)] == pytest.approx(hits.mean(axis=0))
    assert found.mrr.value == pytest.approx(reciprocals.mean())
    assert found.missing == int((~mask[torch.arange(11), true]).sum())
    assert torch.equal(found.candidates, mask.sum(dim=1))


@pytest.mark.usefixtures("small_blocks")
def test_equal_first_hits_are_drawn_evenly():
    alike = torch.ones(20, 3)
    found = evaluate(alike[:1].expand(4000, 3), alike, torch.zeros(4000, dtype=torch.int64))
    counts = found.first.bincount(minlength=20)
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert found.hit[5].value == pytest.approx(0.25)
    assert found.rank[0] == 10.5


def test_embeddings_that_are_all_alike_score_as_chance_in_each_candidate_set():
    formulas = ["A", "A", "A", "B", "B", "C"]
    found = evaluate(torch.ones(6, 3), torch.ones(6, 3), k=(1, 2), mask=same_formula(formulas, formulas))
    assert {k: hit.value for k, hit in found.hit.items()} == pytest.approx(found.chance)
    assert found.chance == pytest.approx({1: 0.5, 2: (3 * 2 / 3 + 3) / 6})


def test_tanimoto_of_the_first_hit_against_rdkit():
    library, queries = torch.randn(8, 4), torch.randn(8, 4)
    found = evaluate(queries, library, smiles=SMILES)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in SMILES]
    expected = [TanimotoSimilarity(prints[row], prints[hit]) for row, hit in enumerate(found.first.tolist())]
    assert found.tanimoto.value == pytest.approx(np.mean(expected))
    assert evaluate(library, library, smiles=SMILES).tanimoto.value == 1
    assert found.mces is None


def test_without_candidates_everything_is_missed():
    found = evaluate(torch.eye(2), torch.eye(2), mask=[[], [1]], smiles=["C", "CC"])
    assert found.first.tolist() == [-1, 1]
    assert (found.hit[1].value, found.mrr.value, found.tanimoto.value, found.chance[1]) == (0.5, 0.5, 0.5, 0.5)
    assert "1 without the right candidate" in repr(found)


def test_intervals_against_scipy():
    values = torch.rand(2, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64).square()
    found = bootstrap_means(values, resamples=20_000, confidence=0.9, seed=0)
    expected = scipy.stats.bootstrap(
        (values.numpy(),), np.mean, axis=1, n_resamples=20_000, confidence_level=0.9, method="percentile"
    )
    for estimate, row, low, high in zip(found, values, *expected.confidence_interval, strict=True):
        assert estimate.value == pytest.approx(row.mean().item())
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.004)


def test_intervals_depend_on_the_seed_alone():
    queries, library = torch.randn(20, 3), torch.randn(20, 3)
    first, same, other = (evaluate(queries, library, seed=seed) for seed in (0, 0, 1))
    assert first.mrr == same.mrr
    assert first.mrr != other.mrr
    assert first.mrr.value == other.mrr.value
    assert np.isnan(evaluate(queries[:1], library).mrr.low)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 300 samples of 50 queries with hit@1 = 0.6, about 95 % of the intervals hold 0.6."""
    samples = (torch.rand(300, 50, generator=torch.Generator().manual_seed(0)) < 0.6).double()
    intervals = [bootstrap_means(sample[None], 300, 0.95, 0)[0] for sample in samples]
    assert 0.90 < np.mean([interval.low <= 0.6 <= interval.high for interval in intervals]) < 0.985


def test_mces_of_the_first_hit(monkeypatch):
    package = types.ModuleType("myopic_mces")
    package.MCES = lambda one, other, **_: (0, abs(len(one) - len(other)), 0.0, 1)
    monkeypatch.setitem(sys.modules, "myopic_mces", package)
    found = evaluate(
        torch.eye(3), torch.eye(3), [1, 2, 0], mask=[[0, 1], [], [0]], smiles=["C", "CCC", "CC"], mces=True
    )
    # The first hit of the first query is its own row, two bonds away. The second has none, and the third is right.
    assert found.mces.value == pytest.approx((2 + 15 + 0) / 3)


@pytest.mark.slow
def test_mces_by_the_package():
    pytest.importorskip("myopic_mces")
    assert likeness.mces_distance("CCO", "OCC", 15) == 0
    assert likeness.mces_distance("CCO", "CCC", 15) == 2  # C-O lost on one side, C-C on the other
    assert likeness.mces_distance("CC=O", "CCO", 15) == 1  # half of the orders' sum is in neither


def test_packages_are_named_where_they_are_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "myopic_mces", None)
    with pytest.raises(ImportError, match=r"mces=True needs myopic-mces: pip install .molspectra\[mces\]"):
        evaluate(torch.eye(2), torch.eye(2), [1, 0], smiles=["C", "CC"], mces=True)


def test_its_representation():
    found = evaluate(torch.eye(3), torch.eye(3), k=(1,), smiles=["C", "CC", "O"])
    assert repr(found) == (
        "Evaluation(hit@1 1.000 [1.000, 1.000], MRR 1.000 [1.000, 1.000], Tanimoto 1.000 [1.000, 1.000]; 3 queries, "
        "3 candidates on average)"
    )
    assert "<caption>3 queries, 3 candidates on average</caption>" in found._repr_html_()
    assert found._repr_html_().count("<tr>") == 4


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": (1, 0)}, r"k \(entry 1\) must be at least 1; got 0"),
        ({"resamples": 0}, "resamples must be at least 1"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"mces": True}, "needs the molecules"),
        ({"smiles": ["C"]}, "got 1 for 3"),
        ({"smiles": ["C", "CC", "C(("]}, r"smiles, number 2: .*C\(\("),
        ({"true": [0, 1]}, "shape"),
        ({"true": [0, 1, 5]}, r"rows 0\.\.2"),
        ({"mask": torch.ones(2, 2, dtype=torch.bool)}, "mask must have shape"),
        ({"similarity": "l2"}, "similarity must be"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluate(torch.eye(3), torch.eye(3), **arguments)


@pytest.mark.parametrize("equal", [0, 1, 7, 1_000_000])
def test_the_mean_reciprocal_of_many_equals(equal):
    ranks = ranks_module.Ranks(
        *(torch.tensor([value]) for value in (3, equal, True, equal + 4, 0))
    )  # better, equal, found, candidates, first
    expected = sum(itertools.islice((1 / rank for rank in itertools.count(4)), equal + 1)) / (equal + 1)
    assert ranks.reciprocal().item() == pytest.approx(expected)
