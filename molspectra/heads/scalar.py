"""Number per molecule: energies, gaps, any scalar property."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.pooling import pool_atoms
from molspectra.heads.reference_energies import AtomicReferenceEnergies
from molspectra.heads.vector import apply_gated_blocks, gated_blocks
from molspectra.layers.precision import at_least_float32


class ScalarHead(Configurable, nn.Module):
    """Scalar property y = reduce_i (s_i · std) + mean, with s_i from two gated equivariant blocks, F → F/2 → 1.

    Reference energies add Σ_i ε_{z_i}. Encoders without vectors work too. The released head adds 0 times the vectors,
    which spreads the NaN of one molecule to the others. This head leaves them out.

    Args:
        channels: Width F of the atom features.
        mean: Added to the prediction, in units of the property.
        std: Unit of the atoms' contributions, in units of the property.
        reduce: "sum" over atoms, or "mean".
        references: ε of each element, for total energies. Predictions are then in float64, and `mean` and `std` refer
            to the energies minus their references.
        as_released: See :class:`~molspectra.layers.GatedEquivariantBlock`.

    Raises:
        ValueError: Reference energies are given, and the reduction is no sum.

    Example:
        >>> molecules = Batch.from_data_list(ms.data.MiniSpectra()[:16])
        >>> references = ms.heads.AtomicReferenceEnergies.fit(molecules.z, molecules.batch, molecules.energy)
        >>> rest = molecules.energy - references(None, molecules)
        >>> head = ScalarHead(64, std=rest.std().item(), references=references)
    """

    def __init__(
        self,
        channels: int,
        mean: float = 0.0,
        std: float = 1.0,
        reduce: Literal["sum", "mean"] = "sum",
        references: AtomicReferenceEnergies | None = None,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        if references is not None and reduce != "sum":
            raise ValueError(
                f'references are summed over atoms and need reduce="sum"; got {reduce!r}. For a property that does not '
                "grow with the molecule, leave them out."
            )
        self.blocks = gated_blocks(channels, as_released)
        # The last vector is not read, so this weight would never get a gradient.
        self.blocks[-1].vector_proj.requires_grad_(False)
        self.mean = mean
        self.std = std
        self.reduce = reduce
        self.references = references

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> Float[Tensor, "molecules 1"]:
        """Predict one number per molecule.

        Args:
            atoms: Atom features.
            data: Molecules, with `z` if the head has reference energies; None for one molecule.

        Returns:
            Predictions (B, 1).

        Raises:
            ValueError: The head has reference energies, and `data` no elements, or an element without a reference.
        """
        check_atoms("ScalarHead", atoms)
        contributions, _ = apply_gated_blocks(self.blocks, atoms.with_vectors())
        # Under autocast they may be in half precision, whose digits do not suffice for a sum over many atoms.
        contributions = at_least_float32(contributions)
        pooled = pool_atoms(contributions * self.std, data, self.reduce)
        if self.references is None:
            return pooled + self.mean
        # In float64: float32 resolves 1 meV in a total energy of 10⁴ eV.
        return pooled.double() + self.mean + self.references(atoms, data).unsqueeze(1)
