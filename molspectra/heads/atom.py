"""Number per atom: chemical shifts, charges, any scalar property of an atom."""

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.element_scale import ElementScale
from molspectra.heads.vector import apply_gated_blocks, gated_blocks
from molspectra.layers.precision import at_least_float32


class AtomHead(Configurable, nn.Module):
    """Scalar property of each atom y_i = mean + std · s_i, with s_i from two gated equivariant blocks, F → F/2 → 1.

    Mean and std are two numbers, or those of each element with `scale`. Encoders without vectors work too. Vectors of
    atoms, such as displacements, come from :class:`~molspectra.heads.VectorHead`.

    Args:
        channels: Width F of the atom features.
        mean: Mean of the property.
        std: Standard deviation of the property.
        scale: Mean and standard deviation of each element, in place of `mean` and `std`. An element without them gets
            NaN: the head has learned nothing about it.
        as_released: See :class:`~molspectra.layers.GatedEquivariantBlock`.

    Raises:
        ValueError: `scale` is given beside `mean` or `std`.

    Example:
        >>> molecules = Batch.from_data_list(ms.data.MiniSpectra()[:16])
        >>> head = AtomHead(32, scale=ms.heads.ElementScale.fit(molecules.z, molecules.mulliken_charge))
        >>> encoder = ms.encoders.PaiNN(32, num_layers=2)
        >>> head(encoder(molecules.z, molecules.pos, molecules.batch), molecules).shape == (molecules.num_nodes, 1)
        True
    """

    def __init__(
        self,
        channels: int,
        mean: float = 0.0,
        std: float = 1.0,
        scale: ElementScale | None = None,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        if scale is not None and (mean, std) != (0.0, 1.0):
            raise ValueError(
                f"scale has a mean and a std of each element, in place of mean and std; got mean={mean} and std={std} "
                "as well. Leave these out."
            )
        self.blocks = gated_blocks(channels, as_released)
        # The last vector is not read, so this weight would never get a gradient.
        self.blocks[-1].vector_proj.requires_grad_(False)
        self.mean = mean
        self.std = std
        self.scale = scale

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> Float[Tensor, "atoms 1"]:
        """Predict one number per atom, (N, 1).

        Args:
            atoms: Atom features.
            data: Molecules with `z`, if the head has a scale of elements.

        Raises:
            TypeError: The head has a scale of elements, and `data` is no `Data`.
            ValueError: The head has a scale of elements, and `data` has no `z`.
        """
        check_atoms("AtomHead", atoms)
        values = at_least_float32(apply_gated_blocks(self.blocks, atoms.with_vectors())[0])
        mean, std = (self.mean, self.std) if self.scale is None else self.scale.mean_and_std(data)
        return values * std + mean
