"""What an energy owes to the elements alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import values_are_free
from molspectra.features import AtomFeatures


class AtomicReferences(Configurable, nn.Module):
    """Σ_i ε_{z_i}: the part of a total energy that composition determines, by far the largest.

    Always in float64: total energies reach 10⁴ eV, of which float32 keeps 1 meV.

    Args:
        elements: Atomic numbers.
        energies: ε of each, in units of the energy.

    Raises:
        ValueError: an element is given twice or does not exist, or there are not as many energies.

    Example:
        >>> references = AtomicReferences([1, 8], [-13.6, -2041.8])
        >>> references(torch.tensor([8, 1, 1, 1]), torch.tensor([0, 0, 0, 1])).tolist()
        [-2069.0, -13.6]
    """

    table: Tensor

    def __init__(self, elements: Sequence[int], energies: Sequence[float]) -> None:
        super().__init__()
        if len(elements) != len(energies) or len(set(elements)) != len(elements):
            raise ValueError(
                f"elements must be different, with an energy each; got {list(elements)} and {len(energies)} energies."
            )
        if not all(1 <= z <= 118 for z in elements):
            raise ValueError(f"elements must lie in 1..118; got {list(elements)}.")
        table = torch.full((119,), torch.nan, dtype=torch.float64)
        table[torch.tensor(list(elements), dtype=torch.int64)] = torch.tensor(list(energies), dtype=torch.float64)
        self._exact = table
        self.register_buffer("table", table.clone(), persistent=False)

    @classmethod
    def fit(
        cls, z: Int[Tensor, " atoms"], batch: Int[Tensor, " atoms"], energy: Float[Tensor, "molecules *one"]
    ) -> "AtomicReferences":
        """The energies that come closest to those of molecules, by least squares.

        Where composition does not tell elements apart (as in molecules that all have four hydrogens for each carbon),
        the smallest ones that do it.

        Args:
            z: Atomic numbers of all atoms (N,).
            batch: Molecule of each, (N,).
            energy: Total energies (B,) or (B, 1).

        Returns:
            References of the elements that occur.

        Raises:
            ValueError: the number of energies is not that of the molecules, or one is not finite.
        """
        energy = energy.detach().double().cpu().reshape(-1)
        if int(batch.max()) + 1 != len(energy) or not bool(energy.isfinite().all()):
            raise ValueError(
                f"energy must be finite, one for each of {int(batch.max()) + 1} molecules; got {len(energy)} values, "
                f"{int((~energy.isfinite()).sum())} of them not finite. Leave such molecules out."
            )
        elements, column = z.cpu().unique(return_inverse=True)
        counts = torch.zeros(len(energy), len(elements), dtype=torch.float64)
        counts.index_put_((batch.cpu(), column), torch.ones(len(z), dtype=torch.float64), accumulate=True)
        solution = torch.linalg.lstsq(counts, energy.unsqueeze(1), driver="gelsd").solution
        return cls(elements.tolist(), solution.squeeze(1).tolist())

    def forward(
        self, z: Int[Tensor, " atoms"], batch: Int[Tensor, " atoms"] | None = None, num_molecules: int | None = None
    ) -> Float[Tensor, " molecules"]:
        """Atomic numbers (N,) and the molecule of each → Σ ε, (B,) float64.

        Raises:
            ValueError: an element has no reference (seen on the CPU; elsewhere its molecules are NaN).
        """
        energies = self.table.index_select(0, z)
        if values_are_free(z) and bool(energies.isnan().any()):
            unknown = z[energies.isnan()].unique().tolist()
            raise ValueError(
                f"z must be of the elements {self.config['elements']}, which have references; got {unknown} as well. "
                "Fit references to molecules that have these elements."
            )
        return AtomFeatures(energies.unsqueeze(1)).pool(batch, num_molecules=num_molecules).squeeze(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        module = super()._apply(fn, recurse)
        self.table = self._exact.to(self.table.device)  # moved with the module, and never rounded
        return module
