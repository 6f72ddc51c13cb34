"""Electronic spatial extent from charges of atoms."""

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._config import Configurable
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.pooling import check_data, pool_atoms
from molspectra.layers.center_of_mass import CenterOfMass


class SpatialExtentHead(Configurable, nn.Module):
    """Electronic spatial extent ⟨R²⟩ = Σ_i q_i |x_i - x_0|² + a_i about the center of mass x_0.

    An MLP F → F/2 → (q, a) reads the scalars of each atom: q_i is the electronic charge at an atom, and a_i its extent
    about the atom itself. The released head of TorchMD-Net (SchNet's, arXiv:1706.08566) has no a_i, so it predicts 0
    for every lone atom.

    Args:
        channels: Width F of the atom features.
        mean: Added to the prediction, in units of the label.
        std: Unit of the atoms' contributions, in units of the label.
        as_released: Leave out a_i.
    """

    def __init__(self, channels: int, mean: float = 0.0, std: float = 1.0, as_released: bool = False) -> None:
        super().__init__()
        outputs = 1 if as_released else 2
        self.mlp = nn.Sequential(nn.Linear(channels, channels // 2), nn.SiLU(), nn.Linear(channels // 2, outputs))
        self.center_of_mass = CenterOfMass()
        self.channels = channels
        self.mean = mean
        self.std = std
        self.as_released = as_released

    def forward(self, atoms: AtomFeatures, data: Data) -> Float[Tensor, "molecules 1"]:
        """Predict the extent of each molecule.

        Args:
            atoms: Atom features.
            data: Molecules with `z` and `pos` in Å.

        Returns:
            ⟨R²⟩, (B, 1).
        """
        check_atoms("SpatialExtentHead", atoms, self.channels)
        check_data(data, "SpatialExtentHead", ("z", "pos"))
        read = self.mlp(atoms.scalars)
        # ⟨R²⟩ = ∫ ρ(x) |x - x₀|² dx: charges concentrated at the atoms give the first term, their spread the second.
        relative = self.center_of_mass(data.z, data.pos, data.batch, num_molecules_of(data))
        extent = read[:, :1] * relative.square().sum(dim=1, keepdim=True)
        if not self.as_released:
            extent = extent + read[:, 1:]
        return pool_atoms(self.std * extent, data) + self.mean
