"""Files of embeddings: arrays (.npz) or a table (.csv, .parquet)."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SUFFIXES = (".npz", ".csv", ".parquet")


def check_suffix(path: Path) -> None:
    """Check that embeddings can be written to a file of this name.

    Raises:
        ValueError: its suffix is unknown.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"The output must end in {', '.join(SUFFIXES)}, which decides its format; got {path}.")


def write_arrays(arrays: dict[str, Any], path: Path) -> None:
    """Write the arrays of an :class:`~molspectra.embedding.EmbeddingResult` in the format of the suffix.

    Args:
        arrays: `features`, `names` and `problems`, for features of atoms also `atom_offset`.
        path: File to write. An existing one is replaced.

    Raises:
        ValueError: the suffix is unknown.
        ImportError: pyarrow, which writes .parquet, is not installed.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
    elif suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as text:
            columns = _columns(arrays)
            writer = csv.writer(text)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    else:
        try:
            from pyarrow import parquet, table
        except ImportError as error:
            raise ImportError(".parquet needs pyarrow; install it with `pip install molspectra[datasets]`.") from error
        parquet.write_table(table(_columns(arrays)), path)


def _columns(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a table by name."""
    names, problems, features = arrays["names"], arrays["problems"], arrays["features"]
    columns = {"name": names, "problem": problems}
    if "atom_offset" in arrays:
        # A molecule that failed has one row, without an atom, so that its problem is in the table.
        counts = np.diff(arrays["atom_offset"])
        rows = np.maximum(counts, 1)
        columns = {name: np.repeat(column, rows) for name, column in columns.items()}
        present = np.repeat(counts > 0, rows)
        atoms = np.full(len(present), -1)
        atoms[present] = np.concatenate([np.arange(count) for count in counts])
        filled = np.full((len(present), *features.shape[1:]), np.nan, features.dtype)
        filled[present] = features
        columns["atom"], features = atoms, filled
    return columns | dict(_feature_columns(features))


def _feature_columns(features: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for index in np.ndindex(features.shape[1:]):
        yield ".".join(map(str, index)), features[(slice(None), *index)]
