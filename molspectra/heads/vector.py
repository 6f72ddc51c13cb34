"""One vector an atom: displacements, forces."""

from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra.features import AtomFeatures
from molspectra.layers.gated import GatedEquivariantBlock
from molspectra.layers.precision import at_least_float32


class VectorHead(Configurable, nn.Module):
    """Two gated equivariant blocks, F → F/2 → 1, of which the vector is read (Coord's denoising head).

    Args:
        channels: Width F of the atom features.
        as_released: See :class:`~molspectra.layers.GatedEquivariantBlock`.
    """

    def __init__(self, channels: int, as_released: bool = False) -> None:
        super().__init__()
        self.blocks = gated_blocks(channels, as_released)

    def forward(self, atoms: AtomFeatures) -> Float[Tensor, "atoms 3"]:
        """Atom features → (N, 3).

        Raises:
            ValueError: the encoder gives no vectors.
        """
        return at_least_float32(apply_gated_blocks(self.blocks, atoms)[1])


def gated_blocks(channels: int, as_released: bool = False) -> nn.ModuleList:
    """The two blocks F → F/2 → 1 that vector and scalar heads share."""
    return nn.ModuleList(
        [
            GatedEquivariantBlock(channels, channels // 2, as_released=as_released),
            GatedEquivariantBlock(channels // 2, 1, activate=False, as_released=as_released),
        ]
    )


def apply_gated_blocks(
    blocks: nn.ModuleList, atoms: AtomFeatures
) -> tuple[Float[Tensor, "atoms 1"], Float[Tensor, "atoms 3"]]:
    """Atom features → a scalar (N, 1) and a vector (N, 3) an atom."""
    scalars, vectors = atoms.scalars, atoms.vectors
    if vectors is None:
        raise ValueError(
            "This head needs atom vectors (N, 3, F), and the encoder gave None. Coord, Frad, SliDe and EMGP do without "
            'them if made with prediction="gradient" (heads.GradientHead); or use an equivariant encoder.'
        )
    for block in blocks:
        scalars, vectors = block(scalars, vectors)
    return scalars, vectors.squeeze(-1)
