"""One number a molecule: energies, gaps, any scalar property."""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra.encoders.features import AtomFeatures
from molspectra.heads.vector import apply_gated_blocks, gated_blocks


class ScalarHead(Configurable, nn.Module):
    """Two gated equivariant blocks, F → F/2 → 1, whose scalars are pooled over the atoms of a molecule.

    y = reduce_i (s_i · std) + mean. The released head adds 0 times the vectors, which lets one molecule's NaN reach
    the others; this one leaves them out.

    Args:
        channels: Width F of the atom features.
        mean: Added to the prediction, in units of the property.
        std: Unit of the atoms' contributions, in units of the property.
        reduce: "sum" over atoms, or "mean".
        as_released: See :class:`~molspectra.layers.GatedEquivariantBlock`.
    """

    def __init__(
        self,
        channels: int,
        mean: float | int = 0.0,
        std: float | int = 1.0,
        reduce: Literal["sum", "mean"] = "sum",
        as_released: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = gated_blocks(channels, as_released)
        # The last vector is not read; as a trainable weight, this one would wait for a gradient that never comes.
        self.blocks[-1].vector_proj.requires_grad_(False)
        self.mean = mean
        self.std = std
        self.reduce = reduce

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
            z: Ignored; property heads share one signature.
            pos: Ignored.
            batch: Molecule of each atom (N,); None for one molecule.
            num_molecules: Number of molecules, if known.

        Returns:
            Predictions (B, 1).
        """
        contributions, _ = apply_gated_blocks(self.blocks, atoms)
        pooled = AtomFeatures(contributions * self.std).pool(batch, self.reduce, num_molecules)
        return pooled + self.mean
