"""Pooling of the features of a batch to rows, one per molecule."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra.embedding.faults import is_device_failure, is_out_of_memory
from molspectra.features import AtomFeatures

Pool = str | Callable[..., Tensor] | None
"""Reductions joined by "+", a head `pool(atoms, data)`, or None for rows of atoms."""
REDUCTIONS = ("sum", "mean", "max")


class PoolError(ValueError):
    """A pooling that fails on any molecule, which is no fault of the molecules."""


class Pooling:
    """Pooling of the features of a batch to rows, one per molecule.

    Args:
        pool: "sum", "mean", "max", or several joined by "+" whose results are concatenated, such as "mean+sum"; a head
            `pool(atoms, data) -> (M, F)`; or None for rows of atoms.
        hydrogens: False leaves hydrogen atoms out. The encoder sees them nevertheless.

    Raises:
        ValueError: `pool` is none of these.
    """

    def __init__(self, pool: Pool, hydrogens: bool = True) -> None:
        self.reductions = pool.split("+") if isinstance(pool, str) else []
        if not (callable(pool) or pool is None or (self.reductions and set(self.reductions) <= set(REDUCTIONS))):
            raise ValueError(
                'pool must be "sum", "mean", "max", several of these joined by "+" ("mean+sum"), None or a head '
                f"(atoms, data); got {pool!r}."
            )
        self.pool = pool
        self.hydrogens = hydrogens

    def __call__(self, layers: Sequence[AtomFeatures], batch: Batch) -> list[Tensor]:
        """Pool the features of one or several layers.

        Args:
            layers: Features of the same atoms, L times.
            batch: Molecules.

        Returns:
            A row on the CPU for each molecule: (L, F), or (atoms, L, F) without pooling.

        Raises:
            PoolError: the head fails, or returns something else than one row per molecule.
        """
        data: Data = batch
        if not self.hydrogens:
            (heavy,) = (batch.z != 1).nonzero(as_tuple=True)
            fields = {name: batch[name][heavy] for name in ("z", "pos", "batch")}
            data = Data(**fields, num_graphs=batch.num_graphs)
            layers = [atoms.select(heavy) for atoms in layers]
        if self.pool is None:
            rows = torch.stack([atoms.scalars for atoms in layers], dim=1).cpu()
            return list(rows.split(torch.bincount(data.batch, minlength=batch.num_graphs).tolist()))
        pooled = [self._reduce(atoms, data) if self.reductions else self._read(atoms, data) for atoms in layers]
        return list(torch.stack(pooled, dim=1).cpu().unbind())

    def _reduce(self, atoms: AtomFeatures, data: Data) -> Tensor:
        return torch.cat([atoms.pool(data.batch, each, data.num_graphs) for each in self.reductions], dim=1)  # type: ignore[arg-type]

    def _read(self, atoms: AtomFeatures, data: Data) -> Tensor:
        name = getattr(self.pool, "__name__", type(self.pool).__name__)
        try:
            rows: Any = self.pool(atoms, data)  # type: ignore[operator, misc]
        except Exception as error:
            if is_out_of_memory(error) or is_device_failure(error):
                raise
            raise PoolError(
                f"pool={name} failed on features {atoms!r}: {error}. A pool is called as pool(atoms, data) and returns "
                "(molecules, channels)."
            ) from error
        if not isinstance(rows, Tensor) or rows.dim() != 2 or len(rows) != data.num_graphs:
            got = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
            raise PoolError(f"pool={name} must return a row per molecule, ({data.num_graphs}, channels); got {got}.")
        return rows
