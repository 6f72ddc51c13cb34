"""The electronic spatial extent, from charges of the atoms."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra.features import AtomFeatures
from molspectra.layers.center_of_mass import CenterOfMass


class SpatialExtentHead(Configurable, nn.Module):
    """⟨R²⟩ = Σ_i q_i |x_i - x_0|² + a_i with x_0 the centre of mass: F → F/2 → (q, a) from each atom's scalars.

    q_i is the electronic charge about an atom, a_i how far it reaches from the atom itself. The released head of
    TorchMD-Net (SchNet's, arXiv:1706.08566) has no a_i: it gives 0 to every lone atom.

    Args:
        channels: Width F of the atom features.
        mean: Added to the prediction, in units of the label.
        std: Unit of the atoms' contributions, in units of the label.
        as_released: Without a_i.
    """

    def __init__(self, channels: int, mean: float = 0.0, std: float = 1.0, as_released: bool = False) -> None:
        super().__init__()
        outputs = 1 if as_released else 2
        self.mlp = nn.Sequential(nn.Linear(channels, channels // 2), nn.SiLU(), nn.Linear(channels // 2, outputs))
        self.center_of_mass = CenterOfMass()
        self.mean = mean
        self.std = std
        self.as_released = as_released

    def forward(
        self,
        atoms: AtomFeatures,
        *,
        z: Int[Tensor, " atoms"],
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        num_molecules: int | None = None,
    ) -> Float[Tensor, "molecules 1"]:
        """Predict the extent of each molecule.

        Args:
            atoms: Atom features.
            z: Atomic numbers (N,).
            pos: Positions in Å, (N, 3).
            batch: Molecule of each atom (N,); None for one molecule.
            num_molecules: Number of molecules, if known.

        Returns:
            ⟨R²⟩, (B, 1).
        """
        read = self.mlp(atoms.scalars)
        distance = self.center_of_mass(z, pos, batch, num_molecules).square().sum(dim=1, keepdim=True)
        extent = read[:, :1] * distance
        if not self.as_released:
            extent = extent + read[:, 1:]
        return AtomFeatures(self.std * extent).pool(batch, num_molecules=num_molecules) + self.mean
