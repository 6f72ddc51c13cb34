"""The search against a full sort of all similarities, and errors of the index."""

import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from molspectra.retrieval import Index, Matches, topk_accuracy
from molspectra.retrieval import embeddings as embeddings_module
from molspectra.retrieval import index as index_module


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 7 rows and 5 queries, so that a small library takes many."""
    monkeypatch.setattr(embeddings_module, "ROWS", 7)
    monkeypatch.setattr(index_module, "_QUERIES", 5)


def by_full_sort(similarity: torch.Tensor, k: int) -> Matches:
    """Best k of each row of (Q, M) by Python's sort, which keeps the order of equals."""
    rows = [sorted(range(similarity.shape[1]), key=lambda i, row=row: -row[i])[:k] for row in similarity.tolist()]
    indices = torch.tensor(rows)
    return Matches(similarity.gather(1, indices).float(), indices)


def assert_matches(found: Matches, expected: Matches) -> None:
    assert torch.equal(found.indices, expected.indices)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("k", [1, 3, 10, 53, 100])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_against_a_full_sort(similarity, k):
    library, queries = torch.randn(53, 6), torch.randn(12, 6)
    exact = queries.double() @ library.double().T
    if similarity == "cosine":
        exact = F.cosine_similarity(queries.double()[:, None], library.double()[None], dim=2)
    assert_matches(Index(library, similarity=similarity).search(queries, k), by_full_sort(exact, k))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("k", [1, 2, 5, 16, 30])
def test_of_equal_scores_the_first_are_found(k):
    # Products of small integers are exact, and most of them are equal to others.
    library, queries = torch.randint(-1, 2, (30, 3)).float(), torch.randint(-1, 2, (9, 3)).float()
    assert_matches(Index(library, similarity="dot").search(queries, k), by_full_sort(queries @ library.T, k))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_scores_are_float32_of_what_is_stored(dtype):
    library, queries = torch.randn(40, 8).to(dtype), torch.randn(3, 8)
    index = Index(library)
    assert index.embeddings.dtype == (torch.float32 if dtype == torch.float64 else dtype)
    found = index.search(queries, 4)
    assert found.scores.dtype == torch.float32
    exact = F.cosine_similarity(queries.double()[:, None], library.double()[None], dim=2)
    assert_matches(found, by_full_sort(exact, 4))


def test_autocast_does_not_round():
    library, queries = torch.randn(40, 8), torch.randn(3, 8)
    expected = Index(library).search(queries)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_matches(Index(library).search(queries), expected)


def test_lengths_near_the_ends_of_float32():
    lengths = torch.tensor([1e-25, 1.0, 1e25])
    found = Index(torch.eye(3) * lengths).search(torch.eye(3) * lengths.flip(0), k=1)
    assert found.indices[:, 0].tolist() == [0, 1, 2]
    torch.testing.assert_close(found.scores[:, 0], torch.ones(3, dtype=torch.float32))


def test_zero_vectors_are_like_nothing():
    index = Index(torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    found = index.search(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), k=3)
    assert found.indices.tolist() == [[2, 1, 0], [0, 1, 2]]
    assert found.scores.tolist() == [[1, 0, -1], [0, 0, 0]]


def test_arrays_and_read_only_files(tmp_path):
    library = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    np.save(tmp_path / "library.npy", library)
    mapped = np.load(tmp_path / "library.npy", mmap_mode="r")
    assert_matches(Index(mapped).search(library[:3], 5), Index(torch.tensor(library)).search(library[:3], 5))
    assert Index(mapped).embeddings.data_ptr() == mapped.ctypes.data


def test_embeddings_that_require_a_gradient():
    found = Index(torch.randn(5, 4, requires_grad=True)).search(torch.randn(2, 4, requires_grad=True))
    assert not found.scores.requires_grad


def test_no_queries():
    found = Index(torch.randn(5, 4)).search(torch.empty(0, 4), k=9)
    assert found.scores.shape == found.indices.shape == (0, 5)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_adding_rows(similarity):
    library, queries = torch.randn(12, 4), torch.randn(3, 4)
    names = [f"molecule {i}" for i in range(12)]
    index = Index(torch.empty(0, 4), similarity=similarity)
    for part in (slice(0, 5), slice(5, 5), slice(5, 12)):
        index.add(library[part], names[part])
    whole = Index(library, names, similarity=similarity)
    assert len(index) == 12
    assert_matches(index.search(queries), whole.search(queries))
    assert index.ids_of(index.search(queries)) == whole.ids_of(whole.search(queries))


def test_added_rows_take_the_dtype_of_the_library():
    index = Index(torch.randn(3, 4).half())
    index.add(torch.randn(2, 4))
    assert index.embeddings.dtype == torch.float16
    with pytest.raises(ValueError, match="dtype of the index.* row 1 is not"):
        index.add(torch.tensor([[0.0] * 4, [1e6] * 4]))
    assert len(index) == 5


def test_an_addition_that_is_refused_changes_nothing():
    index = Index(torch.eye(2), ["a", "b"])
    for embeddings, ids in ((torch.eye(2), ["c", "a"]), (torch.eye(2), None), (torch.eye(2) * torch.nan, ["c", "d"])):
        with pytest.raises(ValueError, match=r"ids must|finite"):
            index.add(embeddings, ids)
        assert (len(index), index.ids) == (2, ["a", "b"])
    with pytest.raises(ValueError, match="the index has none, got some"):
        Index(torch.eye(2)).add(torch.eye(2), ["a", "b"])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("ids", [None, ["µ", "b", "C#N"]], ids=["no ids", "ids"])
def test_saved_and_loaded(similarity, ids, tmp_path):
    index, queries = Index(torch.randn(3, 4).half(), ids, similarity=similarity), torch.randn(2, 4)
    index.save(tmp_path / "library")
    loaded = Index.load(tmp_path / "library")
    assert loaded.ids == ids
    assert loaded.similarity == similarity
    assert loaded.embeddings.dtype == torch.float16
    assert_matches(loaded.search(queries), index.search(queries))
    assert sorted(path.name for path in (tmp_path / "library").iterdir()) == ["index.json", "index.safetensors"]
    loaded.save(tmp_path / "library")  # over the file that it is mapped from
    assert torch.equal(loaded.embeddings, Index.load(tmp_path / "library").embeddings)


def test_a_loaded_library_can_be_added_to(tmp_path):
    Index(torch.eye(3)).save(tmp_path)
    index = Index.load(tmp_path)
    index.add(-torch.eye(3))
    assert index.search(-torch.eye(3), 1).indices[:, 0].tolist() == [3, 4, 5]
    assert len(Index.load(tmp_path)) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_library_is_mapped_not_read(tmp_path):
    Index(torch.randn(50_000, 256)).save(tmp_path)
    before = _own_memory()
    index = Index.load(tmp_path)
    assert _own_memory() - before < 5e6  # of 51 MB
    index.search(torch.randn(1, 256))
    assert _own_memory() - before < 40e6


def _own_memory() -> int:
    """Bytes of this process that no file backs."""
    with open("/proc/self/status") as status:
        return 1024 * int(next(line for line in status if line.startswith("RssAnon")).split()[1])


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no index\.safetensors"):
        Index.load(tmp_path)
    Index(torch.eye(3), ["a", "b", "c"]).save(tmp_path)
    description = tmp_path / "index.json"
    written = description.read_text()
    description.write_text(written.replace('"format": 1', '"format": 7'))
    with pytest.raises(ValueError, match="has format 7"):
        Index.load(tmp_path)
    for old, new in (('"c"', '"c", "d"'), ("cosine", "dot")):
        description.write_text(written.replace(old, new))
        with pytest.raises(ValueError, match="do not belong together"):
            Index.load(tmp_path)


@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")  # SWIG's
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_faiss_finds_the_same(similarity):
    library, queries = torch.randn(60, 8), torch.randn(4, 8)
    index = Index(library.half(), similarity=similarity)
    scores, indices = index.to_faiss().search(embeddings_module.normalized(queries).numpy(), 5)
    expected = index.search(embeddings_module.normalized(queries), 5)
    assert_matches(Matches(torch.tensor(scores), torch.tensor(indices)), expected)


def test_faiss_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"molspectra\[faiss\]"):
        Index(torch.eye(3)).to_faiss()


def test_to_a_device():
    index = Index(torch.eye(3), ["a", "b", "c"])
    moved = index.to("meta")
    assert (moved.device.type, moved.ids, index.device.type) == ("meta", index.ids, "cpu")


@pytest.mark.cuda
def test_cuda():
    library, queries = torch.randn(5000, 32), torch.randn(20, 32)
    found = Index(library.cuda()).search(queries)
    assert found.indices.is_cuda
    assert_matches(Matches(*(part.cpu() for part in found)), Index(library).search(queries))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Index(torch.randn(4)), ValueError, r"embeddings must have shape \(rows, F\); got \(4,\)"),
        (lambda: Index(torch.ones(4, 3).long()), TypeError, "embeddings must be floating point"),
        (lambda: Index(torch.eye(3) / torch.eye(3)), ValueError, "finite .*row 0 is not"),
        (lambda: Index(torch.full((2, 2), 1e300, dtype=torch.float64)), ValueError, "finite"),
        (lambda: Index(torch.eye(3), similarity="euclidean"), ValueError, "similarity must be"),
        (lambda: Index(torch.eye(3), ["a", "b"]), ValueError, "got 2 for 3 rows"),
        (lambda: Index(torch.eye(3), ["a", "b", "a"]), ValueError, "'a' occurs 2 times"),
        (lambda: Index(torch.eye(3), [1, 2, 3]), TypeError, r"ids\[0\] of Index must be a str; got 1"),
        (
            lambda: Index(torch.eye(3), "abc"),
            TypeError,
            r"ids of Index must be a list or None; got 'abc'. Write \['abc'\]",
        ),
        (lambda: Index(torch.eye(3)).search(torch.eye(4)), ValueError, "queries must have 3 columns"),
        (lambda: Index(torch.eye(3)).search(torch.eye(3) * torch.inf), ValueError, "queries must be finite"),
        (lambda: Index(torch.eye(3)).search(torch.eye(3), k=0), ValueError, "k must be at least 1"),
        (lambda: Index(torch.empty(0, 3)).search(torch.eye(3)), ValueError, "The index is empty"),
        (lambda: Index(torch.eye(3)).add(torch.eye(4)), ValueError, "embeddings must have 3 columns"),
        (lambda: Index(torch.eye(3)).ids_of(Index(torch.eye(3)).search(torch.eye(3))), ValueError, "no ids"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_its_representation():
    assert repr(Index(torch.eye(3), ["a", "b", "c"])) == "Index(3 × 3, torch.float32, 'cosine', with ids)"


class TestTopkAccuracy:
    @pytest.mark.parametrize("similarity", ["cosine", "dot"])
    def test_against_a_loop(self, similarity, monkeypatch):
        monkeypatch.setattr(embeddings_module, "ROWS", 7)
        library = torch.randn(30, 4)
        targets = torch.randint(30, (25,))
        queries = library[targets] + torch.randn(25, 4)
        places = []
        for query, target in zip(queries.double(), targets.tolist(), strict=True):
            scores = library.double() @ query
            if similarity == "cosine":
                scores = scores / library.double().norm(dim=1)
            places.append(scores.argsort(descending=True).tolist().index(target))
        expected = {k: sum(place < k for place in places) / 25 for k in (1, 3, 10, 30, 99)}
        found = topk_accuracy(queries, library, targets, ks=(1, 3, 10, 30, 99), similarity=similarity)
        assert found == pytest.approx(expected)
        assert 0 < found[1] < found[10] < found[30] == 1

    def test_embeddings_that_are_all_alike_score_as_chance(self):
        alike = torch.full((10, 4), 0.5)
        assert topk_accuracy(alike, alike) == pytest.approx({1: 0.1, 5: 0.5, 10: 1.0})

    def test_ties_count_as_the_mean_over_all_orders(self):
        library = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
        query = torch.tensor([[1.0, 0.0]])
        found = topk_accuracy(query, library, ks=(1, 2, 3, 4), similarity="dot")
        assert found == pytest.approx({1: 0, 2: 1 / 2, 3: 1, 4: 1})

    def test_a_larger_library(self):
        library = torch.cat([torch.eye(4), torch.ones(3, 4)])
        assert topk_accuracy(torch.eye(4).numpy(), library.numpy(), ks=(1,)) == {1: 1.0}

    @pytest.mark.usefixtures("no_shape_checks")
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"queries": torch.empty(0, 4)}, "queries holds no rows"),
            ({"queries": torch.eye(3)}, "one width"),
            ({"queries": torch.ones(5, 4)}, "a row for each query"),
            ({"targets": torch.arange(3)}, r"targets must have shape \(4,\)"),
            ({"targets": torch.arange(1, 5)}, r"rows 0\.\.3"),
            ({"ks": (0,)}, "k must be at least 1"),
            ({"library": torch.eye(4) * torch.nan}, "library must be finite"),
        ],
    )
    def test_bad_input_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            topk_accuracy(**{"queries": torch.eye(4), "library": torch.eye(4), **arguments})


@pytest.mark.parametrize("rows", [7, 97, 130])
def test_equal_rows_are_found_by_chance(rows):
    """Whatever the last digits of their products are."""
    for seed in range(5):
        row = torch.randn(1, 256, generator=torch.Generator().manual_seed(seed))
        for target in (0, rows - 1):
            accuracy = topk_accuracy(row, row.expand(rows, 256).contiguous(), targets=[target], ks=(1, 5))
            assert accuracy == pytest.approx({1: 1 / rows, 5: 5 / rows})
