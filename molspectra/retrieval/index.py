"""A library of embeddings to search by similarity."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.profiler import record_function

from molspectra._validation import check_sizes, checked
from molspectra.retrieval.embeddings import as_embeddings, blocks, inverse_norms, normalized
from molspectra.retrieval.ids import checked_ids
from molspectra.retrieval.masks import BlockMask, Mask, block_mask
from molspectra.retrieval.matches import Matches, best_of, merge
from molspectra.retrieval.scoring import Similarity, check_similarity, score
from molspectra.retrieval.storage import StoredIndex, read_index, write_index

_QUERIES = 1024  # at a time: 64 MiB of scores with a block of the library


class Index:
    """Library of M embeddings to search by similarity: exact, on any device, in little memory.

    Similarities are matrix products over blocks of the library and of the queries. Only the best k are kept from block
    to block, so that memory does not grow with M × Q. They are float32, in whichever dtype the embeddings are stored.
    Among equally similar rows the first are found. (Equal rows may differ in the last digit of their similarity.)

    A zero vector has cosine 0 with everything. Embeddings in float16, bfloat16 or float32 are neither copied nor
    changed, so do not change them either. Float64 is stored as float32.

    Args:
        embeddings: The library, (M, F), tensor or array. M may be 0, to be filled by `add`.
        ids: A name for each row, such as a SMILES, all different, or None.
        similarity: "cosine" or "dot", the inner product.

    Raises:
        TypeError: the embeddings are not floating point.
        ValueError: a shape is wrong, a value is not finite, an id occurs twice, or the similarity is unknown.

    Example:
        >>> index = ms.retrieval.Index(torch.eye(3), ids=["CO", "CCO", "CCC"])
        >>> matches = index.search(torch.tensor([[0.0, 3.0, 4.0]]), k=2)
        >>> index.ids_of(matches), matches.scores
        ([['CCC', 'CCO']], tensor([[0.8000, 0.6000]]))
    """

    @checked
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
        self.ids = None if ids is None else checked_ids(ids, len(self))
        # Lengths divide the scores. Embeddings of length 1 would be a second copy of the library.
        self._inverse_norms = inverse_norms(self.embeddings) if similarity == "cosine" else None

    @classmethod
    def _of(cls, stored: StoredIndex) -> "Index":
        """Return an index of checked contents, without the constructor, which would read every row."""
        index = object.__new__(cls)
        index.embeddings, index._inverse_norms, index.similarity, index.ids = stored
        return index

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
        """Device of the library, on which it is searched."""
        return self.embeddings.device

    def to(self, device: torch.device | str) -> "Index":
        """Return the same library on another device."""
        norms = None if self._inverse_norms is None else self._inverse_norms.to(device)
        return self._of(StoredIndex(self.embeddings.to(device), norms, self.similarity, self.ids))

    @torch.no_grad()
    def search(
        self, queries: Float[Tensor, "queries channels"] | np.ndarray, k: int = 10, *, mask: Mask | None = None
    ) -> Matches:
        """Find the k rows most similar to each query, best first.

        Args:
            queries: (Q, F), tensor or array, on any device.
            k: Number of rows to find. At most M are returned.
            mask: Candidates of each query, by default all rows: a boolean tensor (Q, M), a list of rows for each query,
                or a function of the numbers of some queries (q,) and rows (n,) that returns (q, n) booleans, such as
                :func:`same_formula` and :func:`mass_window`. Functions and lists are expanded block by block.

        Returns:
            Scores and indices, (Q, min(k, M)), on the device of the index. A query with fewer than k candidates has
            score -inf and index -1 in the places left over.

        Raises:
            TypeError: the queries are not floating point, or the mask is not boolean.
            ValueError: the library is empty, k is not positive, the queries are not finite or of another width, or the
                mask does not fit.
        """
        check_sizes(k=k)
        if len(self) == 0:
            raise ValueError("The index is empty; expected at least one embedding. Fill it with index.add(embeddings).")
        asked = as_embeddings("queries", queries).to(self.device)
        self._check_width("queries", asked)
        asked = normalized(asked) if self.similarity == "cosine" else asked.float()
        k = min(k, len(self))
        if asked.shape[0] == 0:
            return Matches(asked.new_empty(0, k), asked.new_empty(0, k, dtype=torch.int64))
        # Blocks of queries bound the scores in memory, whatever the numbers of queries and rows.
        allowed = None if mask is None else block_mask(mask, asked.shape[0], len(self), self.device)
        found = [self._search_block(block, k, first, allowed) for first, block in blocks(asked, _QUERIES)]
        return Matches(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def ids_of(self, matches: Matches) -> list[list[str]]:
        """Return the names of the matches: a list for each query, best first, without places left over by a mask.

        Raises:
            ValueError: the index was made without ids.
        """
        if self.ids is None:
            raise ValueError("This index has no ids; expected Index(embeddings, ids=...). Use matches.indices.")
        return [[self.ids[row] for row in rows if row >= 0] for rows in matches.indices.tolist()]

    def add(self, embeddings: Float[Tensor, "added channels"] | np.ndarray, ids: Sequence[str] | None = None) -> None:
        """Append rows to the library. All of it is copied: add many at a time.

        Args:
            embeddings: (m, F), stored in the dtype and on the device of the library, unless that is empty.
            ids: Names, (m), different from each other and from those of the library. They are required if the library
                has names, and refused otherwise.

        Raises:
            TypeError: the embeddings are not floating point.
            ValueError: their width is different, a value is not finite, or the ids do not fit.
        """
        added = as_embeddings("embeddings", embeddings)
        self._check_width("embeddings", added)
        if len(self) == 0:
            joined_ids = self.ids if ids is None and len(added) == 0 else ids
            # An empty library has no dtype or device to keep.
            self.__init__(added, joined_ids, similarity=self.similarity)  # type: ignore[misc]
            return
        if (ids is None) != (self.ids is None):
            has, got = ("none", "some") if self.ids is None else ("some", "none")
            raise ValueError(f"ids must be given for all rows or for none; the index has {has}, got {got} to add.")
        joined_ids = None
        if self.ids is not None:
            assert ids is not None
            checked_ids(ids, added.shape[0])
            joined_ids = checked_ids([*self.ids, *ids], len(self) + added.shape[0])
        # Checked again, as float16 makes large values infinite.
        added = as_embeddings("embeddings (in the dtype of the index)", added.to(self.embeddings))
        if self._inverse_norms is not None:
            self._inverse_norms = torch.cat([self._inverse_norms, inverse_norms(added)])
        self.embeddings = torch.cat([self.embeddings, added])
        self.ids = joined_ids

    def save(self, directory: str | Path) -> None:
        """Write the library as `index.safetensors` and `index.json`, each file replaced at once.

        Args:
            directory: Receives the files. It is made if need be.

        Example:
            >>> ms.retrieval.Index(torch.eye(3)).save(tmp_path / "library")
            >>> ms.retrieval.Index.load(tmp_path / "library")
            Index(3 × 3, torch.float32, 'cosine')
        """
        write_index(directory, StoredIndex(self.embeddings, self._inverse_norms, self.similarity, self.ids))

    @classmethod
    def load(cls, directory: str | Path, device: torch.device | str = "cpu") -> "Index":
        """Read an index that `save` wrote.

        On the CPU the file is mapped into memory, not copied: rows are read when a search needs them.

        Args:
            directory: The directory given to `save`.
            device: Device of the library.

        Raises:
            FileNotFoundError: the directory does not hold both files.
            ValueError: they are damaged, of another format, or do not fit each other.
        """
        return cls._of(read_index(directory, device))

    def to_faiss(self) -> Any:
        """Return a FAISS `IndexFlatIP` over the same vectors, scaled to length 1 if the similarity is the cosine.

        Give it queries in float32, scaled to length 1 as well (`faiss.normalize_L2`). The library is copied.

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

    def _check_width(self, name: str, tensor: Tensor) -> None:
        """Check that embeddings are as wide as those of the library.

        Raises:
            ValueError: they are not.
        """
        if tensor.shape[1] != self.channels:
            raise ValueError(
                f"{name} must have {self.channels} columns, as the index has; got shape {tuple(tensor.shape)}. Embed "
                "both with encoders of one width, or project them (molspectra.layers.ProjectionMLP)."
            )

    def _search_block(
        self, queries: Float[Tensor, "queries channels"], k: int, start: int, mask: BlockMask | None
    ) -> Matches:
        """Find the k best rows for a block of queries from number `start` on, block by block of the library."""
        best: Matches | None = None
        number = torch.arange(start, start + queries.shape[0], device=self.device)
        for first, rows in blocks(self.embeddings):
            with record_function("molspectra::index.search_block"):
                scale = None if self._inverse_norms is None else self._inverse_norms[first : first + rows.shape[0]]
                scores = score(queries, rows, scale)
                if mask is not None:
                    row = torch.arange(first, first + rows.shape[0], device=self.device)
                    scores.masked_fill_(~mask(number, row), -torch.inf)
                found = best_of(scores, min(k, rows.shape[0]))
                found = Matches(found.scores, found.indices + first)  # numbers in the library, not in the block
                best = found if best is None else merge(best, found, k)
        assert best is not None
        return best if mask is None else Matches(best.scores, best.indices.where(best.scores > -torch.inf, -1))
