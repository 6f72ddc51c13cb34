"""Positions relative to the center of mass of their molecule."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter

from molspectra._validation import check_tensors
from molspectra.layers.constants import ExactConstants

# fmt: off
# Da, of elements z = 0 … 118: the standard atomic weights of IUPAC 2013 (doi:10.1515/pac-2015-0305), with the
# conventional value where IUPAC gives a range, and the mass of the most stable isotope where it gives no weight.
_MASSES = (
    0.0, 1.008, 4.002602, 6.94, 9.0121831, 10.81, 12.011, 14.007, 15.999, 18.99840316, 20.1797, 22.98976928, 24.305,
    26.9815385, 28.085, 30.973762, 32.06, 35.45, 39.948, 39.0983, 40.078, 44.955908, 47.867, 50.9415, 51.9961,
    54.938044, 55.845, 58.933194, 58.6934, 63.546, 65.38, 69.723, 72.63, 74.921595, 78.971, 79.904, 83.798, 85.4678,
    87.62, 88.90584, 91.224, 92.90637, 95.95, 97.90721, 101.07, 102.9055, 106.42, 107.8682, 112.414, 114.818, 118.71,
    121.76, 127.6, 126.90447, 131.293, 132.905452, 137.327, 138.90547, 140.116, 140.90766, 144.242, 144.91276, 150.36,
    151.964, 157.25, 158.92535, 162.5, 164.93033, 167.259, 168.93422, 173.054, 174.9668, 178.49, 180.94788, 183.84,
    186.207, 190.23, 192.217, 195.084, 196.966569, 200.592, 204.38, 207.2, 208.9804, 208.98243, 209.98715, 222.01758,
    223.01974, 226.02541, 227.02775, 232.0377, 231.03588, 238.02891, 237.04817, 244.06421, 243.06138, 247.07035,
    247.07031, 251.07959, 252.083, 257.09511, 258.09843, 259.101, 262.11, 267.122, 268.126, 271.134, 270.133, 269.1338,
    278.156, 281.165, 281.166, 285.177, 286.182, 289.19, 289.194, 293.204, 293.208, 294.214,
)
# fmt: on


class CenterOfMass(ExactConstants):
    """Positions relative to the center of mass, x_i - Σ_j m_j x_j / Σ_j m_j, with the masses of natural elements.

    The sums run over the atoms j of the molecule of atom i.
    """

    masses: Tensor

    def __init__(self) -> None:
        super().__init__(lambda: {"masses": torch.tensor(_MASSES, dtype=torch.float64)})

    def forward(
        self,
        z: Int[Tensor, " atoms"],
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        num_molecules: int | None = None,
    ) -> Float[Tensor, "atoms 3"]:
        """Return positions relative to the center of mass.

        Args:
            z: Atomic numbers (N,).
            pos: Positions in Å, (N, 3).
            batch: Molecule of each atom (N,). None for one molecule.
            num_molecules: Number of molecules, if known. Default: read from `batch`, which waits for the device.

        Returns:
            Relative positions in Å, (N, 3).
        """
        check_tensors(z=z, pos=pos, **({} if batch is None else {"batch": batch}))
        mass = self.masses.index_select(0, z).unsqueeze(1).to(pos.dtype)
        if batch is None:
            return pos - (mass * pos).sum(dim=0) / mass.sum()
        # Masses beside moments: one reduction over the batch gives both.
        total = scatter(torch.cat([mass * pos, mass], dim=1), batch, dim=0, dim_size=num_molecules, reduce="sum")
        return pos - (total[:, :3] / total[:, 3:]).index_select(0, batch)
