"""Candidates of each query: masks of the library by formula, by mass, or as lists, made block by block."""

import math
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from molspectra._validation import checked

BlockMask = Callable[[Tensor, Tensor], Tensor]
"""Numbers of queries (q,) and of rows (n,), int64 on the device of the library → (q, n), True for candidates."""

Mask = Bool[Tensor, "queries library"] | np.ndarray | BlockMask | Sequence[Sequence[int] | Tensor | np.ndarray]


@checked
def same_formula(queries: Sequence[str], library: Sequence[str]) -> BlockMask:
    """Admit the rows of the library that have the molecular formula of the query.

    Args:
        queries: Formula of each query (:func:`molspectra.data.molecular_formula`).
        library: Formula of each row. Formulas are compared as texts.

    Returns:
        A mask for `Index.search` and `evaluate`. It holds one number for each query and row.

    Example:
        >>> mask = ms.retrieval.same_formula(["C2H6O"], ["CH4O", "C2H6O"])
        >>> ms.retrieval.Index(torch.eye(2)).search(torch.tensor([[1.0, 0.5]]), k=2, mask=mask).indices
        tensor([[ 1, -1]])
    """
    numbers = {formula: number for number, formula in enumerate(dict.fromkeys(library))}
    of_query = torch.tensor([numbers.get(formula, -1) for formula in queries], dtype=torch.int64)
    of_row = torch.tensor([numbers[formula] for formula in library], dtype=torch.int64)

    def mask(query: Int[Tensor, " q"], row: Int[Tensor, " n"]) -> Bool[Tensor, "q n"]:
        return _taken("queries", of_query, query).unsqueeze(1) == _taken("library", of_row, row)

    return mask


@checked
def mass_window(
    queries: Float[Tensor, " queries"] | Sequence[float] | np.ndarray,
    library: Float[Tensor, " library"] | Sequence[float] | np.ndarray,
    *,
    ppm: float | None = None,
    da: float | None = None,
) -> BlockMask:
    """Admit the rows of the library whose mass differs from the query's by at most a tolerance.

    Args:
        queries: Mass of each query in Da, such as a precursor mass without its adduct.
        library: Mass of each row in Da (:func:`molspectra.data.monoisotopic_mass`).
        ppm: Tolerance in millionths of the query's mass.
        da: Tolerance in Da. Give one of the two.

    Returns:
        A mask for `Index.search` and `evaluate`. It holds one number for each query and row.

    Raises:
        ValueError: none or both tolerances are given, one is not a positive number, or a mass is not.

    Example:
        >>> mask = ms.retrieval.mass_window([100.0], [100.0009, 100.0011], ppm=10)
        >>> mask(torch.tensor([0]), torch.tensor([0, 1]))
        tensor([[ True, False]])
    """
    tolerance = ppm if da is None else da
    if tolerance is None or (ppm is not None and da is not None):
        raise ValueError(f"Give one tolerance, ppm= or da=; got ppm={ppm} and da={da}.")
    if not 0 < tolerance < math.inf:
        raise ValueError(f"The tolerance must be a positive number; got {tolerance}.")
    of_query, of_row = _masses("queries", queries), _masses("library", library)

    def mask(query: Int[Tensor, " q"], row: Int[Tensor, " n"]) -> Bool[Tensor, "q n"]:
        expected = _taken("queries", of_query, query).unsqueeze(1)
        width = expected * (tolerance * 1e-6) if da is None else tolerance
        return (_taken("library", of_row, row) - expected).abs() <= width

    return mask


def block_mask(mask: Mask, queries: int, rows: int, device: torch.device) -> BlockMask:
    """Return a mask of any form as a function of numbers of queries and rows.

    Args:
        mask: (Q, M) bool, a function of numbers of queries and rows, or the rows of each query's candidates.
        queries: Number Q of queries.
        rows: Number M of rows.
        device: Device of the library.

    Raises:
        TypeError: the mask is of no such form, or not boolean.
        ValueError: its shape does not fit, or a candidate is no row.
    """
    if callable(mask):
        return _checked(mask)
    if isinstance(mask, np.ndarray):
        mask = torch.from_numpy(mask)
    if isinstance(mask, Tensor):
        return _of_matrix(mask, queries, rows)
    return _of_lists(mask, queries, rows, device)


def _checked(mask: BlockMask) -> BlockMask:
    def checked(query: Int[Tensor, " q"], row: Int[Tensor, " n"]) -> Bool[Tensor, "q n"]:
        allowed = mask(query, row)
        if not isinstance(allowed, Tensor) or allowed.dtype != torch.bool:
            got = allowed.dtype if isinstance(allowed, Tensor) else type(allowed).__name__
            raise TypeError(f"mask(queries, rows) must return a boolean tensor; got {got}.")
        if allowed.shape != (len(query), len(row)):
            raise ValueError(
                f"mask(queries, rows) must return shape {(len(query), len(row))} for {len(query)} queries and "
                f"{len(row)} rows; got {tuple(allowed.shape)}."
            )
        return allowed.to(query.device)

    return checked


def _of_matrix(mask: Tensor, queries: int, rows: int) -> BlockMask:
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True for candidates; got {mask.dtype}. Compare, as in mask != 0.")
    if mask.shape != (queries, rows):
        raise ValueError(f"mask must have shape ({queries}, {rows}), queries × library; got {tuple(mask.shape)}.")
    # Numbers of a block follow one another: a view, not a copy.
    return lambda query, row: mask[query[0] : query[-1] + 1, row[0] : row[-1] + 1].to(query.device)


def _of_lists(
    mask: Sequence[Sequence[int] | Tensor | np.ndarray], queries: int, rows: int, device: torch.device
) -> BlockMask:
    if isinstance(mask, str) or not isinstance(mask, Sequence):
        raise TypeError(
            f"mask must be a boolean tensor, a function, or a list of candidates for each query; got "
            f"{type(mask).__name__}."
        )
    if len(mask) != queries:
        raise ValueError(f"mask must hold a list of candidates for each query; got {len(mask)} for {queries} queries.")
    lists = [candidates.tolist() if isinstance(candidates, Tensor | np.ndarray) else candidates for candidates in mask]
    flat = torch.tensor(list(chain.from_iterable(lists)), dtype=torch.int64)
    wrong = flat[(flat < 0) | (flat >= rows)]
    if len(wrong):
        raise ValueError(f"Candidates must be rows 0..{rows - 1} of the library; got {int(wrong[0])}.")
    starts = torch.tensor([0, *map(len, lists)]).cumsum(0)
    of_query = torch.repeat_interleave(torch.arange(queries), starts.diff()).to(device)
    flat = flat.to(device)

    def block(query: Int[Tensor, " q"], row: Int[Tensor, " n"]) -> Bool[Tensor, "q n"]:
        own = slice(int(starts[int(query[0])]), int(starts[int(query[-1]) + 1]))
        here = (flat[own] >= row[0]) & (flat[own] <= row[-1])
        allowed = torch.zeros(len(query), len(row), dtype=torch.bool, device=query.device)
        allowed[of_query[own][here] - query[0], flat[own][here] - row[0]] = True
        return allowed

    return block


def _taken(name: str, values: Tensor, numbers: Int[Tensor, " n"]) -> Tensor:
    """Return the values of some queries or rows, on the device of their numbers."""
    if len(numbers) and int(numbers.max()) >= len(values):
        raise ValueError(
            f"The mask was made with {len(values)} {name}; got number {int(numbers.max())}. Make it with one value for "
            f"each of the {name} that are searched, in their order."
        )
    return values.to(numbers.device)[numbers]


def _masses(name: str, masses: Float[Tensor, " n"] | Sequence[float] | np.ndarray) -> Float[Tensor, " n"]:
    # In float64: 1 ppm of 1000 Da is a few units in the last place of float32.
    tensor = torch.as_tensor(masses, dtype=torch.float64)
    wrong = ~((tensor > 0) & tensor.isfinite())
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(f"{name} must be positive masses in Da; number {row} is {tensor[row].item()}.")
    return tensor
