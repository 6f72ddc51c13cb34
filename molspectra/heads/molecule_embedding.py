"""Embedding of a molecule, from normalized features of its atoms."""

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.invariants import invariants
from molspectra.heads.pooling import pool_atoms
from molspectra.layers.layer_norm import LayerNorm
from molspectra.layers.precision import leave_autocast


class MoleculeEmbeddingHead(Configurable, nn.Module):
    """Embedding c = MLP(Σ_i LN SiLU(W LN(s_i + |v_i| + |t_i|))) of a molecule (SCD, Perez & Gómez-Bombarelli 2026).

    The MLP is LN, Linear, SiLU, LN, Linear. Its first norm takes the size of the sum, so that the number of atoms shows
    in the relative sizes of channels only.

    Args:
        channels: Width F of the atom features, and of the embedding.
        as_released: Read the scalars s_i alone.

    Example:
        >>> head = MoleculeEmbeddingHead(16)
        >>> head(ms.encoders.AtomFeatures(torch.randn(5, 16), torch.randn(5, 3, 16))).shape
        torch.Size([1, 16])
    """

    def __init__(self, channels: int, as_released: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.as_released = as_released
        self.atom_mlp = nn.Sequential(
            LayerNorm(channels), nn.Linear(channels, channels), nn.SiLU(), LayerNorm(channels)
        )
        self.mlp = nn.Sequential(
            LayerNorm(channels),
            nn.Linear(channels, channels),
            nn.SiLU(),
            LayerNorm(channels),
            nn.Linear(channels, channels),
        )

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> Float[Tensor, "molecules channels"]:
        """Embed molecules, (B, F). `data` gives the molecule of each atom, if several."""
        check_atoms("MoleculeEmbeddingHead", atoms, self.channels)
        read = atoms.scalars if self.as_released else invariants(atoms)
        # Under autocast the digits of half precision do not suffice for a sum over many atoms.
        return leave_autocast(self.mlp(pool_atoms(leave_autocast(self.atom_mlp(read)), data)))
