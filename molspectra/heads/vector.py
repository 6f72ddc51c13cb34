"""Vector per atom: displacements, forces."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._signature import attribute_of
from molspectra._validation import check_choice
from molspectra.features import AtomFeatures, check_atoms
from molspectra.layers.gated import GatedEquivariantBlock
from molspectra.layers.precision import at_least_float32
from molspectra.layers.vector_norm import make_vector_norm


class VectorHead(Configurable, nn.Module):
    """Vector per atom from two gated equivariant blocks, F → F/2 → 1 (Coord's denoising head).

    Args:
        channels: Width F of the atom features.
        as_released: See :class:`~molspectra.layers.GatedEquivariantBlock`. The norm is the released one as well.
        vector_norm: Norm of the incoming vectors, for an encoder without one, as in
            :class:`~molspectra.encoders.EquivariantTransformer`. Released models fine-tuned on forces have it here:
            their energy head reads the vectors as they are.
    """

    def __init__(
        self,
        channels: int,
        as_released: bool = False,
        *,
        vector_norm: Literal["rms", "whitened"] | None = None,
    ) -> None:
        super().__init__()
        check_choice("vector_norm", vector_norm, ("rms", "whitened", None))
        self.vector_norm = make_vector_norm(vector_norm, channels, as_released=as_released)
        self.blocks = gated_blocks(channels, as_released)

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> Float[Tensor, "atoms 3"]:
        """Predict a vector per atom, (N, 3). `data` is ignored.

        Raises:
            ValueError: The encoder gives no vectors, or features of another width.
        """
        check_atoms("This head", atoms, attribute_of(self.blocks[0], "in_channels"))
        if atoms.vectors is not None:
            atoms = AtomFeatures(atoms.scalars, self.vector_norm(atoms.vectors))
        return at_least_float32(apply_gated_blocks(self.blocks, atoms)[1])


def gated_blocks(channels: int, as_released: bool = False) -> nn.ModuleList:
    """Make the two blocks F → F/2 → 1 that vector and scalar heads share."""
    return nn.ModuleList(
        [
            GatedEquivariantBlock(channels, channels // 2, as_released=as_released),
            GatedEquivariantBlock(channels // 2, 1, activate=False, as_released=as_released),
        ]
    )


def apply_gated_blocks(
    blocks: nn.ModuleList, atoms: AtomFeatures
) -> tuple[Float[Tensor, "atoms 1"], Float[Tensor, "atoms 3"]]:
    """Compute a scalar (N, 1) and a vector (N, 3) per atom."""
    check_atoms("This head", atoms, attribute_of(blocks[0], "in_channels"))
    scalars, vectors = atoms.scalars, atoms.vectors
    if vectors is None:
        raise ValueError(
            "This head needs atom vectors (N, 3, F); the encoder gave None. Use an equivariant encoder, or make Coord, "
            'Frad, SliDe, EMGP and SCD with prediction="gradient" (heads.GradientHead), which needs none.'
        )
    # Linear maps without bias act on channels of vectors, and gates scale them: rotations pass through unchanged.
    for block in blocks:
        scalars, vectors = block(scalars, vectors)
    return scalars, vectors.squeeze(-1)
