"""A library of embeddings and the rows of it that are most like a query."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from molspectra._validation import check_sizes
from molspectra.retrieval.scoring import (
    ROWS,
    Similarity,
    as_embeddings,
    blocks,
    check_similarity,
    inverse_norms,
    normalized,
    score,
)

_TENSORS, _DESCRIPTION = "index.safetensors", "index.json"
_FORMAT = 1
_QUERIES = 1024  # at a time: 64 MiB of scores with a block of the library


class Matches(NamedTuple):
    """The best rows of a library for each query, best first."""

    scores: Float[Tensor, "queries k"]
    """Similarities in float32."""
    indices: Int[Tensor, "queries k"]
    """Numbers of the rows, int64."""


class Index:
    """A library of M embeddings to search by similarity: exact, on any device, in little memory.

    Similarities are matrix products over blocks of the library and of the queries, of which the best k are kept as they
    come, so that memory does not grow with M × Q. They are float32, whatever the embeddings are stored as. Of rows that
    are equally similar the first are found. (Equal rows may differ in the last digit of their similarity.)

    A zero vector has cosine 0 with everything. Embeddings in float16, bfloat16 or float32 are neither copied nor
    changed, so do not change them either; float64 is stored as float32.

    Args:
        embeddings: The library, (M, F), tensor or array; M may be 0, to `add` to.
        ids: A name for each row, such as a SMILES, all different; or None.
        similarity: "cosine" or "dot", the inner product.

    Raises:
        TypeError: the embeddings are not floating point.
        ValueError: a shape is wrong, a value is not finite, an id comes twice, or there is no such similarity.

    Example:
        >>> index = ms.retrieval.Index(torch.eye(3), ids=["CO", "CCO", "CCC"])
        >>> matches = index.search(torch.tensor([[0.0, 3.0, 4.0]]), k=2)
        >>> index.ids_of(matches), matches.scores
        ([['CCC', 'CCO']], tensor([[0.8000, 0.6000]]))
    """

    def __init__(
        self,
        embeddings: Float[Tensor, "library channels"] | np.ndarray,
        ids: Sequence[str] | None = None,
        *,
        similarity: Similarity = "cosine",
    ) -> None:
        check_similarity(similarity)
        self.similarity = similarity
        self.embeddings = as_embeddings("embeddings", embeddings)
        self.ids = None if ids is None else _checked_ids(ids, len(self))
        self._scale = inverse_norms(self.embeddings) if similarity == "cosine" else None

    def __len__(self) -> int:
        return self.embeddings.shape[0]

    def __repr__(self) -> str:
        named = "" if self.ids is None else ", with ids"
        return f"Index({len(self)} × {self.channels}, {self.embeddings.dtype}, {self.similarity!r}{named})"

    @property
    def channels(self) -> int:
        """Width F of the embeddings."""
        return self.embeddings.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the library is, and where it is searched."""
        return self.embeddings.device

    def to(self, device: torch.device | str) -> "Index":
        """The same library on another device."""
        moved = object.__new__(Index)
        moved.similarity, moved.ids = self.similarity, self.ids
        moved.embeddings = self.embeddings.to(device)
        moved._scale = None if self._scale is None else self._scale.to(device)
        return moved

    @torch.no_grad()
    def search(self, queries: Float[Tensor, "queries channels"] | np.ndarray, k: int = 10) -> Matches:
        """The k rows most similar to each query, best first.

        Args:
            queries: (Q, F), tensor or array, on any device.
            k: How many to find; min(k, M) are returned.

        Returns:
            Scores and indices, (Q, min(k, M)), on the device of the index.

        Raises:
            TypeError: the queries are not floating point.
            ValueError: the library is empty, k is not positive, or the queries are not finite or of another width.
        """
        check_sizes(k=k)
        if len(self) == 0:
            raise ValueError("The index is empty; expected at least one embedding. Fill it with index.add(embeddings).")
        queries = self._prepare(queries)
        k = min(k, len(self))
        if queries.shape[0] == 0:
            return Matches(queries.new_empty(0, k), queries.new_empty(0, k, dtype=torch.int64))
        found = [self._search_block(block, k) for _, block in blocks(queries, _QUERIES)]
        return Matches(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def ids_of(self, matches: Matches) -> list[list[str]]:
        """The names of what was found: a list for each query, best first.

        Raises:
            ValueError: the index was made without ids.
        """
        if self.ids is None:
            raise ValueError("This index has no ids; expected Index(embeddings, ids=...). Use matches.indices.")
        return [[self.ids[row] for row in rows] for rows in matches.indices.tolist()]

    def add(self, embeddings: Float[Tensor, "added channels"] | np.ndarray, ids: Sequence[str] | None = None) -> None:
        """Append rows to the library. All of it is copied: add many at a time.

        Args:
            embeddings: (m, F); stored in the dtype and on the device of the library, unless that is empty.
            ids: Names, (m), different from each other and from those there are; needed if and only if the library has
                some already.

        Raises:
            TypeError: the embeddings are not floating point.
            ValueError: their width is another, a value is not finite, or the ids do not fit.
        """
        added = as_embeddings("embeddings", embeddings)
        self._check_width("embeddings", added)
        if len(self) == 0:
            joined_ids = self.ids if ids is None and len(added) == 0 else ids
            self.__init__(added, joined_ids, similarity=self.similarity)  # type: ignore[misc]
            return
        if (ids is None) != (self.ids is None):
            has, got = ("none", "some") if self.ids is None else ("some", "none")
            raise ValueError(f"ids must be given for all rows or for none; the index has {has}, got {got} to add.")
        if self.ids is not None:
            assert ids is not None
            _checked_ids(ids, added.shape[0])
            joined = _checked_ids([*self.ids, *ids], len(self) + added.shape[0])
        added = as_embeddings("embeddings (in the dtype of the index)", added.to(self.embeddings))
        if self._scale is not None:
            self._scale = torch.cat([self._scale, inverse_norms(added)])
        self.embeddings = torch.cat([self.embeddings, added])
        self.ids = None if self.ids is None else joined

    def save(self, directory: str | Path) -> None:
        """Write the library as `index.safetensors` and `index.json`, each file replaced at once.

        Args:
            directory: Where they go; made if need be.

        Example:
            >>> ms.retrieval.Index(torch.eye(3)).save(tmp_path / "library")
            >>> ms.retrieval.Index.load(tmp_path / "library")
            Index(3 × 3, torch.float32, 'cosine')
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {"embeddings": self.embeddings.contiguous()}
        if self._scale is not None:
            tensors["inverse_norms"] = self._scale
        described = {"format": _FORMAT, "similarity": self.similarity, "ids": self.ids}
        save_file(tensors, directory / (_TENSORS + ".part"))
        (directory / (_DESCRIPTION + ".part")).write_text(json.dumps(described) + "\n", encoding="utf-8")
        for name in (_TENSORS, _DESCRIPTION):
            os.replace(directory / (name + ".part"), directory / name)

    @classmethod
    def load(cls, directory: str | Path, device: torch.device | str = "cpu") -> "Index":
        """Read what `save` wrote.

        On the CPU the file is mapped into memory, not copied: rows are read when a search comes to them.

        Args:
            directory: The directory given to `save`.
            device: Where the library goes.

        Raises:
            FileNotFoundError: the directory does not hold both files.
            ValueError: they are of another format, or do not fit each other.
        """
        directory = Path(directory)
        for name in (_TENSORS, _DESCRIPTION):
            if not (directory / name).is_file():
                raise FileNotFoundError(f"{directory} holds no {name}; expected a directory written by Index.save.")
        described = json.loads((directory / _DESCRIPTION).read_text(encoding="utf-8"))
        if not isinstance(described, dict):
            raise ValueError(f"{directory / _DESCRIPTION} is damaged: expected an object. Save the index again.")
        if described.get("format") != _FORMAT:
            raise ValueError(
                f"{directory / _DESCRIPTION} has format {described.get('format')!r}; this version reads {_FORMAT}. "
                "Update molspectra."
            )
        try:
            tensors = load_file(directory / _TENSORS, device=str(device))
        except SafetensorError as error:
            raise ValueError(f"{directory / _TENSORS} is damaged: {error}. Save the index again.") from error
        _check_saved(directory, described, tensors)
        index = object.__new__(cls)  # not the constructor, which reads every row
        index.similarity, index.ids = described["similarity"], described["ids"]
        index.embeddings, index._scale = tensors["embeddings"], tensors.get("inverse_norms")
        return index

    def to_faiss(self) -> Any:
        """A FAISS `IndexFlatIP` over the same vectors, of length 1 if the similarity is the cosine.

        Give it queries in float32, of length 1 as well (`faiss.normalize_L2`). Copies the library.

        Raises:
            ImportError: FAISS is not installed.
        """
        try:
            import faiss
        except ImportError as error:
            raise ImportError('to_faiss needs FAISS: pip install "molspectra[faiss]", or faiss-cpu.') from error
        index = faiss.IndexFlatIP(self.channels)
        for _, block in blocks(self.embeddings):
            index.add((normalized(block) if self.similarity == "cosine" else block.float()).cpu().numpy())
        return index

    def _prepare(self, queries: Float[Tensor, "queries channels"] | np.ndarray) -> Float[Tensor, "queries channels"]:
        """Queries in float32 on the device of the library, of length 1 if the similarity is the cosine."""
        tensor = as_embeddings("queries", queries).to(self.device)
        self._check_width("queries", tensor)
        return normalized(tensor) if self.similarity == "cosine" else tensor.float()

    def _check_width(self, name: str, tensor: Tensor) -> None:
        if tensor.shape[1] != self.channels:
            raise ValueError(
                f"{name} must have {self.channels} columns, as the index has; got shape {tuple(tensor.shape)}. Embed "
                "both with encoders of one width, or project them (molspectra.layers.ProjectionMLP)."
            )

    def _search_block(self, queries: Float[Tensor, "queries channels"], k: int) -> Matches:
        best: Matches | None = None
        for first, rows in blocks(self.embeddings, ROWS):
            scale = None if self._scale is None else self._scale[first : first + rows.shape[0]]
            found = _best_of(score(queries, rows, scale), min(k, rows.shape[0]))
            found = Matches(found.scores, found.indices + first)
            best = found if best is None else _merge(best, found, k)
        assert best is not None
        return best


def _merge(before: Matches, found: Matches, k: int) -> Matches:
    """The k best of both; of equals those that were found before, which are the first."""
    scores, indices = (torch.cat(pair, dim=1) for pair in zip(before, found, strict=True))
    ordered = scores.sort(dim=1, descending=True, stable=True)
    return Matches(ordered.values[:, :k], indices.gather(1, ordered.indices[:, :k]))


def _best_of(scores: Float[Tensor, "queries rows"], k: int) -> Matches:
    """The k largest of each row, in descending order, of equals the first: torch.topk takes any of these."""
    values, indices = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    tied = values[:, k - 1] == values[:, -1] if values.shape[1] > k else values.new_zeros(len(values), dtype=torch.bool)
    values, indices = values[:, :k], indices[:, :k]
    if bool(tied.any()):
        indices[tied] = _first_of_equals(scores[tied], values[tied, -1:], k)
    indices = indices.sort(dim=1).values
    ordered = scores.gather(1, indices).sort(dim=1, descending=True, stable=True)
    return Matches(ordered.values, indices.gather(1, ordered.indices))


def _first_of_equals(
    scores: Float[Tensor, "queries rows"], last: Float[Tensor, "queries 1"], k: int
) -> Int[Tensor, "queries k"]:
    """Where the k largest scores are, given the k-th of them; of those that are equal to it, the first."""
    larger, equal = scores > last, scores == last
    wanted = k - larger.sum(dim=1, keepdim=True)
    kept = larger | (equal & (equal.cumsum(dim=1) <= wanted))
    return kept.nonzero()[:, 1].view(-1, k)


def _checked_ids(ids: Sequence[str], rows: int) -> list[str]:
    """The ids as a list.

    Raises:
        TypeError: they are one string, or not strings.
        ValueError: they are more or fewer than the rows, or one comes twice.
    """
    if isinstance(ids, str) or not all(isinstance(name, str) for name in ids):
        raise TypeError("ids must be a sequence of strings, one a row; got others. Convert with [str(i) for i in ids].")
    if len(ids) != rows:
        raise ValueError(f"ids must have one entry a row; got {len(ids)} for {rows} rows.")
    if len(set(ids)) < len(ids):
        name, count = Counter(ids).most_common(1)[0]
        raise ValueError(
            f"ids must be different; {name!r} comes {count} times. Number the conformers of a molecule, as in "
            f"{name + '#1'!r}, or leave ids out."
        )
    return list(ids)


def _check_saved(directory: Path, described: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Refuse files that do not belong together.

    Raises:
        ValueError: they do not.
    """
    rows = tensors["embeddings"].shape[0] if "embeddings" in tensors else None
    scale, ids = tensors.get("inverse_norms"), described.get("ids")
    fits = (
        rows is not None
        and (described.get("similarity") == "cosine") == (scale is not None)
        and (scale is None or scale.shape == (rows,))
        and (ids is None or len(ids) == rows)
    )
    if not fits:
        raise ValueError(f"{_TENSORS} and {_DESCRIPTION} in {directory} do not belong together. Save the index again.")
