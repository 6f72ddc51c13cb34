"""Features of molecules with the names of the molecules and the problems of those that failed."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molspectra.embedding.writing import write_arrays

_NAMED_PROBLEMS = 20  # in texts; `problems` holds all


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingResult:
    """Features of molecules, in the order of their source."""

    values: Tensor | list[Tensor]
    """Features on the CPU: (M, F) or (M, layers, F), NaN for a molecule that failed. Without pooling a list of M
    tensors (atoms, F) or (atoms, layers, F), without atoms for a molecule that failed."""
    names: list[str]
    """Name of each molecule, (M)."""
    problems: dict[int, str]
    """Row of a molecule that failed → reason."""
    guessed_bonds: int = 0
    """Number of molecules whose bonds were perceived from positions."""

    def __repr__(self) -> str:
        shape = list(self.values.shape) if isinstance(self.values, Tensor) else f"{len(self.values)} × [atoms, …]"
        return f"EmbeddingResult(values={shape}, {len(self.problems)} problems)"

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Tensor | None],
        names: list[str],
        problems: dict[int, str],
        guessed_bonds: int = 0,
        *,
        per_atom: bool = False,
    ) -> "EmbeddingResult":
        """Put rows together, and fill those of molecules that failed.

        Args:
            rows: Features of each molecule, None for one that failed.
            names: Name of each molecule.
            problems: Row of a molecule that failed → reason.
            guessed_bonds: Number of molecules whose bonds were perceived from positions.
            per_atom: True for features of atoms, of which each molecule has a different number.

        Raises:
            ValueError: every molecule failed, or the source is empty.
        """
        known = next((row for row in rows if row is not None), None)
        if known is None:
            reasons = _summary(names, problems) or "the source is empty"
            raise ValueError(f"No molecule could be embedded of {len(rows)}: {reasons}.")
        missing = known[:0] if per_atom else torch.full_like(known, torch.nan)
        filled = [missing if row is None else row for row in rows]
        return cls(filled if per_atom else torch.stack(filled), names, problems, guessed_bonds)

    def summary(self) -> str:
        """Return a line for each of the first molecules that failed, empty if none did."""
        return _summary(self.names, self.problems)

    def warn(self, stacklevel: int = 2) -> None:
        """Warn of molecules that failed and of guessed bonds, once each.

        Warns:
            UserWarning: molecules have failed, or bonds were perceived from positions.
        """
        if self.problems:
            warnings.warn(
                f"{len(self.problems)} of {len(self.names)} molecules failed; their rows are NaN:\n  {self.summary()}",
                stacklevel=stacklevel + 1,
            )
        if self.guessed_bonds:
            warnings.warn(
                f"The bonds of {self.guessed_bonds} molecules, which the encoder needs, were guessed from positions. "
                "Give molecules with bonds (SMILES, .sdf) where they are known.",
                stacklevel=stacklevel + 1,
            )

    def save(self, path: str | Path) -> None:
        """Write features, names and problems, as arrays (.npz) or as a table (.csv, .parquet).

        A table has a row per molecule, or per atom without pooling. Its columns are `name`, `problem`, without pooling
        `atom` (-1 for a molecule that failed), and the features: `0`, `1`, … or, of several layers, `0.0`, `0.1`, … by
        layer and channel.

        Raises:
            ValueError: the suffix is none of these.
            ImportError: pyarrow, which writes .parquet, is not installed.
        """
        write_arrays(self.to_arrays(), Path(path))

    def to_arrays(self) -> dict[str, Any]:
        """Return `features`, `names` and `problems` as NumPy arrays, to be saved.

        Features of atoms are concatenated: molecule i has rows `atom_offset[i]` to `atom_offset[i + 1]`.
        """
        problems = [self.problems.get(row, "") for row in range(len(self.names))]
        arrays: dict[str, Any] = {"names": np.array(self.names), "problems": np.array(problems)}
        if isinstance(self.values, Tensor):
            return arrays | {"features": self.values.numpy()}
        offset = np.cumsum([0, *(len(atoms) for atoms in self.values)])
        return arrays | {"features": torch.cat(self.values).numpy(), "atom_offset": offset}


def _summary(names: Sequence[str], problems: dict[int, str]) -> str:
    lines = [f"{names[row]}: {problem}" for row, problem in problems.items()]
    rest = [f"and {len(lines) - _NAMED_PROBLEMS} more"] if len(lines) > _NAMED_PROBLEMS else []
    return "\n  ".join(lines[:_NAMED_PROBLEMS] + rest)
