"""Dipole moments from charges and vectors of atoms."""

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._config import Configurable
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.pooling import check_data, pool_atoms
from molspectra.heads.vector import apply_gated_blocks, gated_blocks
from molspectra.layers.center_of_mass import CenterOfMass
from molspectra.layers.gated import plain_norm, smooth_norm


class DipoleHead(Configurable, nn.Module):
    """Dipole moment μ = Σ_i q_i (x_i - x_0) + v_i about the center of mass x_0 (PaiNN, arXiv:2102.03150).

    Two gated equivariant blocks, F → F/2 → 1, predict a charge q_i and a dipole v_i per atom. Features without vectors
    give charges only. The dipole of a charged molecule depends on the origin, which is its center of mass.

    The released head adds the mean of the labels to the vector, which breaks rotation equivariance. This head adds no
    mean. By default the length is smooth at 0.

    Args:
        channels: Width F of the atom features.
        std: Unit of the atoms' contributions, in units of the dipole.
        magnitude: Return the length (B, 1) instead of the vector (B, 3).
        as_released: See :class:`~molspectra.layers.GatedEquivariantBlock`. The length has no second derivative at 0.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> water = ms.data.from_smiles("O")
        >>> DipoleHead(32)(encoder(water.z, water.pos), water).shape
        torch.Size([1, 1])
    """

    def __init__(self, channels: int, std: float = 1.0, magnitude: bool = True, as_released: bool = False) -> None:
        super().__init__()
        self.blocks = gated_blocks(channels, as_released)
        self.center_of_mass = CenterOfMass()
        self.std = std
        self.magnitude = magnitude
        self.norm = plain_norm if as_released else smooth_norm

    def forward(self, atoms: AtomFeatures, data: Data) -> Float[Tensor, "molecules _"]:
        """Predict the dipole moment of each molecule.

        Args:
            atoms: Atom features.
            data: Molecules with `z` and `pos` in Å.

        Returns:
            Lengths (B, 1) or vectors (B, 3).
        """
        check_atoms("DipoleHead", atoms)
        check_data(data, "DipoleHead", ("z", "pos"))
        # The scalar channel is a partial charge, and the vector channel the dipole of the atom itself.
        charge, own = apply_gated_blocks(self.blocks, atoms.with_vectors())
        # About the center of mass, the dipole of a charged molecule does not change under translation.
        from_center = self.center_of_mass(data.z, data.pos, data.batch, num_molecules_of(data))
        contributions = self.std * (charge * from_center + own)
        dipole = pool_atoms(contributions, data)
        # Labels of QM9 are lengths. The norm comes after the sum, because atomic dipoles may cancel.
        return self.norm(dipole.unsqueeze(2)) if self.magnitude else dipole
