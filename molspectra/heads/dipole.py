"""Dipole moments, from charges and vectors of the atoms."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra.features import AtomFeatures
from molspectra.heads.vector import apply_gated_blocks, gated_blocks
from molspectra.layers.center_of_mass import CenterOfMass
from molspectra.layers.gated import plain_norm, smooth_norm


class DipoleHead(Configurable, nn.Module):
    """μ = Σ_i q_i (x_i - x_0) + v_i with x_0 the centre of mass (PaiNN, arXiv:2102.03150), or its length.

    Two gated equivariant blocks, F → F/2 → 1, give each atom a charge q_i and a dipole v_i of its own. From features
    without vectors come charges only. A molecule that is charged has the dipole about its centre of mass.

    The released head adds the mean of the labels to the vector, so that the result depends on how a molecule lies;
    there is no mean here. By default the length is smooth where it is 0.

    Args:
        channels: Width F of the atom features.
        std: Unit of the atoms' contributions, in units of the dipole.
        magnitude: Give the length (B, 1), rather than the vector (B, 3).
        as_released: See :class:`~molspectra.layers.GatedEquivariantBlock`; and the plain length, without a second
            derivative where it is 0.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> water = ms.data.from_smiles("O")
        >>> DipoleHead(32)(encoder(water.z, water.pos), z=water.z, pos=water.pos).shape
        torch.Size([1, 1])
    """

    def __init__(self, channels: int, std: float = 1.0, magnitude: bool = True, as_released: bool = False) -> None:
        super().__init__()
        self.blocks = gated_blocks(channels, as_released)
        self.center_of_mass = CenterOfMass()
        self.std = std
        self.magnitude = magnitude
        self.norm = plain_norm if as_released else smooth_norm

    def forward(
        self,
        atoms: AtomFeatures,
        *,
        z: Int[Tensor, " atoms"],
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        num_molecules: int | None = None,
    ) -> Float[Tensor, "molecules _"]:
        """Predict the dipole moment of each molecule.

        Args:
            atoms: Atom features.
            z: Atomic numbers (N,).
            pos: Positions in Å, (N, 3).
            batch: Molecule of each atom (N,); None for one molecule.
            num_molecules: Number of molecules, if known.

        Returns:
            Lengths (B, 1) or vectors (B, 3).
        """
        charge, own = apply_gated_blocks(self.blocks, atoms.with_vectors())
        from_center = self.center_of_mass(z, pos, batch, num_molecules)
        contributions = self.std * (charge * from_center + own)
        dipole = AtomFeatures(contributions).pool(batch, num_molecules=num_molecules)
        return self.norm(dipole.unsqueeze(2)) if self.magnitude else dipole
