"""Share of the elements in a total energy."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import values_are_free
from molspectra.features import AtomFeatures
from molspectra.heads.pooling import pool_atoms


class AtomicReferenceEnergies(Configurable, nn.Module):
    """Sum of atomic reference energies Σ_i ε_{z_i}, the largest part of a total energy.

    Always in float64: total energies reach 10⁴ eV, of which float32 resolves 1 meV.

    Args:
        elements: Atomic numbers.
        energies: ε of each, in units of the energy.

    Raises:
        ValueError: An element is given twice or does not exist, or the numbers of elements and energies differ.

    Example:
        >>> references = AtomicReferenceEnergies([1, 8], [-13.6, -2041.8])
        >>> references(None, Data(z=torch.tensor([8, 1, 1, 1]), batch=torch.tensor([0, 0, 0, 1]))).tolist()
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
        # NaN marks elements without a reference energy, and shows in the sum where a check would wait for the device.
        table = torch.full((119,), torch.nan, dtype=torch.float64)
        table[torch.tensor(list(elements), dtype=torch.int64)] = torch.tensor(list(energies), dtype=torch.float64)
        self._exact = table
        self.register_buffer("table", table.clone(), persistent=False)

    @classmethod
    def fit(
        cls, z: Int[Tensor, " atoms"], batch: Int[Tensor, " atoms"], energy: Float[Tensor, "molecules *one"]
    ) -> "AtomicReferenceEnergies":
        """Fit reference energies to total energies of molecules by least squares.

        If composition does not determine them (as in molecules that all have four hydrogens per carbon), return the
        solution of least norm.

        Args:
            z: Atomic numbers of all atoms (N,).
            batch: Molecule of each, (N,).
            energy: Total energies (B,) or (B, 1).

        Returns:
            Reference energies of the elements that occur.

        Raises:
            ValueError: The numbers of energies and molecules differ, or an energy is not finite.
        """
        energy = energy.detach().double().cpu().reshape(-1)
        if int(batch.max()) + 1 != len(energy) or not bool(energy.isfinite().all()):
            raise ValueError(
                f"energy must be finite, one for each of {int(batch.max()) + 1} molecules; got {len(energy)} values, "
                f"{int((~energy.isfinite()).sum())} of them not finite. Leave such molecules out."
            )
        # Linear model: (molecules × elements) counts times ε equals the total energies.
        elements, column = z.cpu().unique(return_inverse=True)
        counts = torch.zeros(len(energy), len(elements), dtype=torch.float64)
        counts.index_put_((batch.cpu(), column), torch.ones(len(z), dtype=torch.float64), accumulate=True)
        # gelsd uses singular values and accepts rank-deficient counts, as of isomers. The default driver does not.
        solution = torch.linalg.lstsq(counts, energy.unsqueeze(1), driver="gelsd").solution
        return cls(elements.tolist(), solution.squeeze(1).tolist())

    def forward(self, atoms: AtomFeatures | None, data: Data | None) -> Float[Tensor, " molecules"]:
        """Sum the reference energies of each molecule, (B,) float64.

        Args:
            atoms: Ignored. All heads share one call form.
            data: Molecules with `z`.

        Raises:
            ValueError: `data` has no `z`, or an element has no reference energy (seen on the CPU. Elsewhere its
                molecule gets NaN).
        """
        if not isinstance(data, Data) or "z" not in data:
            raise ValueError("Reference energies need the elements data.z (N,); got none. Call head(atoms, data).")
        energies = self.table.index_select(0, data.z)
        if values_are_free(data.z) and bool(energies.isnan().any()):
            unknown = data.z[energies.isnan()].unique().tolist()
            raise ValueError(
                f"z must hold only elements with reference energies, {self.config['elements']}; got {unknown} as well. "
                "Fit reference energies to molecules that have these elements."
            )
        return pool_atoms(energies.unsqueeze(1), data).squeeze(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        module = super()._apply(fn, recurse)
        self.table = self._exact.to(self.table.device)  # moves with the module, and is never rounded
        return module
