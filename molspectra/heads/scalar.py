"""One number a molecule: energies, gaps, any scalar property."""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra.features import AtomFeatures
from molspectra.heads.references import AtomicReferences
from molspectra.heads.vector import apply_gated_blocks, gated_blocks
from molspectra.layers.precision import at_least_float32


class ScalarHead(Configurable, nn.Module):
    """Two gated equivariant blocks, F → F/2 → 1, whose scalars are pooled over the atoms of a molecule.

    y = reduce_i (s_i · std) + mean, and Σ_i ε_{z_i} where there are references. Encoders without vectors will do. The
    released head adds 0 times the vectors, which lets one molecule's NaN reach the others; this one leaves them out.

    Args:
        channels: Width F of the atom features.
        mean: Added to the prediction, in units of the property.
        std: Unit of the atoms' contributions, in units of the property.
        reduce: "sum" over atoms, or "mean".
        references: ε of each element, for total energies. Predictions are then in float64, without which a total energy
            has no room for what is predicted; `mean` and `std` are those of what the references leave.
        as_released: See :class:`~molspectra.layers.GatedEquivariantBlock`.

    Raises:
        ValueError: there are references, and the reduction is no sum.

    Example:
        >>> molecules = Batch.from_data_list(ms.data.MiniSpectra()[:16])
        >>> references = ms.heads.AtomicReferences.fit(molecules.z, molecules.batch, molecules.energy)
        >>> rest = molecules.energy - references(molecules.z, molecules.batch)
        >>> head = ScalarHead(64, std=rest.std().item(), references=references)
    """

    def __init__(
        self,
        channels: int,
        mean: float = 0.0,
        std: float = 1.0,
        reduce: Literal["sum", "mean"] = "sum",
        references: AtomicReferences | None = None,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        if references is not None and reduce != "sum":
            raise ValueError(
                f'references are summed over atoms and need reduce="sum"; got {reduce!r}. For a property that does not '
                "grow with the molecule, leave them out."
            )
        self.blocks = gated_blocks(channels, as_released)
        # The last vector is not read; as a trainable weight, this one would wait for a gradient that never comes.
        self.blocks[-1].vector_proj.requires_grad_(False)
        self.mean = mean
        self.std = std
        self.reduce = reduce
        self.references = references

    def forward(
        self,
        atoms: AtomFeatures,
        *,
        z: Int[Tensor, " atoms"] | None = None,
        pos: Float[Tensor, "atoms 3"] | None = None,
        batch: Int[Tensor, " atoms"] | None = None,
        num_molecules: int | None = None,
    ) -> Float[Tensor, "molecules 1"]:
        """Predict one number a molecule.

        Args:
            atoms: Atom features.
            z: Atomic numbers (N,), if there are references.
            pos: Ignored; property heads share one signature.
            batch: Molecule of each atom (N,); None for one molecule.
            num_molecules: Number of molecules, if known.

        Returns:
            Predictions (B, 1).

        Raises:
            ValueError: there are references and no `z`, or an element without one.
        """
        contributions, _ = apply_gated_blocks(self.blocks, atoms.with_vectors())
        # Under autocast they may be in half precision, which a mean or a sum of many has no digits in.
        contributions = at_least_float32(contributions)
        pooled = AtomFeatures(contributions * self.std).pool(batch, self.reduce, num_molecules)
        if self.references is None:
            return pooled + self.mean
        if z is None:
            raise ValueError("A head with references needs the elements z (N,); got None. Call head(atoms, z=z, ...).")
        return pooled.double() + self.mean + self.references(z, batch, num_molecules).unsqueeze(1)
