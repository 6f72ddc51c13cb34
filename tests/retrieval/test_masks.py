"""Search among some rows only, against a search of those rows alone."""

import pytest
import torch

from molspectra import data, retrieval
from molspectra.retrieval import Index
from molspectra.retrieval import embeddings as embeddings_module
from molspectra.retrieval import index as index_module


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(embeddings_module, "ROWS", 7)
    monkeypatch.setattr(index_module, "_QUERIES", 5)


def forms_of(mask):
    return {
        "matrix": mask,
        "array": mask.numpy(),
        "function": lambda queries, rows: mask[queries][:, rows],
        "lists": [row.nonzero().squeeze(1).tolist() for row in mask],
        "tensors": [row.nonzero().squeeze(1) for row in mask],
    }


@pytest.mark.parametrize("form", ["matrix", "array", "function", "lists", "tensors"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_against_a_search_of_the_candidates_alone(form, similarity):
    library, queries = torch.randn(30, 4), torch.randn(12, 4)
    mask = torch.rand(12, 30) < 0.3
    mask[3], mask[4] = False, True
    index = Index(library, [str(row) for row in range(30)], similarity=similarity)
    found = index.search(queries, 6, mask=forms_of(mask)[form])
    names = index.ids_of(found)
    for number, (query, allowed) in enumerate(zip(queries, mask, strict=True)):
        rows = allowed.nonzero().squeeze(1)
        count = min(6, len(rows))
        if count:
            alone = Index(library[rows], similarity=similarity).search(query[None], count)
            assert torch.equal(found.indices[number, :count], rows[alone.indices[0]])
            torch.testing.assert_close(found.scores[number, :count], alone.scores[0])
        assert (found.indices[number, count:] == -1).all()
        assert (found.scores[number, count:] == -torch.inf).all()
        assert len(names[number]) == count


def test_masks_of_formula_and_mass():
    formulas = [data.molecular_formula(smiles) for smiles in ("CCO", "COC", "CC=O", "OCC")]
    library = torch.eye(4)
    found = Index(library).search(torch.ones(2, 4), 4, mask=retrieval.same_formula(["C2H4O", "C6H6"], formulas))
    assert found.indices.tolist() == [[2, -1, -1, -1], [-1] * 4]
    masses = [200.0, 200.0019, 200.0021, 199.9981, 201.0]
    rows = torch.arange(5)
    window = retrieval.mass_window([200.0], masses, ppm=10)
    assert window(torch.tensor([0]), rows).tolist() == [[True, True, False, True, False]]
    assert retrieval.mass_window([200.0], masses, da=1.0)(torch.tensor([0]), rows).all()


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (torch.ones(2, 3), TypeError, "mask must be boolean"),
        (torch.ones(3, 2, dtype=torch.bool), ValueError, r"shape \(2, 3\).*got \(3, 2\)"),
        ([[0]], ValueError, "got 1 for 2 queries"),
        ([[0], [3]], ValueError, r"rows 0\.\.2 .*got 3"),
        ([[0], [-1]], ValueError, "got -1"),
        ("abc", TypeError, "list of candidates"),
        (lambda q, r: torch.ones(len(q), len(r)).half(), TypeError, "boolean tensor; got torch.float16"),
        (lambda q, r: torch.ones(len(r), dtype=torch.bool), ValueError, "must return shape"),
        (retrieval.same_formula(["CH4"], ["CH4"] * 3), ValueError, "made with 1 queries; got number 1"),
    ],
)
def test_bad_masks_are_refused(mask, error, message):
    with pytest.raises(error, match=message):
        Index(torch.eye(3)).search(torch.eye(3)[:2], mask=mask)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give one"),
        ({"ppm": 5, "da": 1}, "Give one"),
        ({"ppm": -5}, "positive"),
        ({"da": float("nan")}, "positive"),
    ],
)
def test_bad_windows_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        retrieval.mass_window([1.0], [1.0], **arguments)
    with pytest.raises(ValueError, match="number 1 is nan"):
        retrieval.mass_window([1.0, float("nan")], [1.0], ppm=5)
    with pytest.raises(TypeError, match="queries of same_formula must be a list; got 'CH4'"):
        retrieval.same_formula("CH4", ["CH4"])
