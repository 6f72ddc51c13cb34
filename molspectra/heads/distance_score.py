"""Score of noisy distances between atoms."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.invariants import invariants
from molspectra.heads.pooling import check_data
from molspectra.layers.initialization import init_linears
from molspectra.layers.precision import at_least_float32


class DistanceScoreHead(Configurable, nn.Module):
    """Score of a noisy distance d̃ between two atoms (SE(3)-DDM, Liu et al. 2023, arXiv:2206.13602).

    s = MLP[g_i + g_j ‖ MLP(d̃)] with invariants g_i = s_i + |v_i| + |t_i| of each atom, in units of 1/σ. The sum does
    not depend on the order of the two atoms. As published, the noisy distance is embedded as a single number, and the
    head does not see σ.

    Args:
        channels: Width F of the atom features.
        as_released: Read the scalars s_i alone. The last vectors of an encoder then get no gradient.

    Example:
        >>> head, noise = DistanceScoreHead(32), ms.noise.DistanceNoise()
        >>> noisy = noise(ms.data.MiniSpectra()[0])
        >>> atoms = ms.encoders.PaiNN(32, num_layers=1)(noisy.z, noisy.pos)
        >>> head(atoms, noisy).shape == noisy.noisy_distance.shape
        True
    """

    def __init__(self, channels: int, as_released: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.as_released = as_released
        self.distance_mlp = nn.Sequential(nn.Linear(1, channels), nn.ReLU(), nn.Linear(channels, 1))
        half = max(channels // 2, 1)
        self.mlp = nn.Sequential(
            nn.Linear(channels + 1, channels),
            nn.ReLU(),
            nn.Linear(channels, half),
            nn.ReLU(),
            nn.Linear(half, 1),
        )
        init_linears(self)

    def forward(self, atoms: AtomFeatures, data: Data) -> Float[Tensor, " pairs"]:
        """Predict σ ∂ log p(d̃) / ∂d̃ of each pair, (P,).

        Args:
            atoms: Features of N atoms.
            data: Molecules with `pair_index` (2, P) and `noisy_distance` (P,) in Å, as
                :class:`~molspectra.noise.DistanceNoise` adds them.
        """
        check_atoms("DistanceScoreHead", atoms, self.channels)
        check_data(data, "DistanceScoreHead", ("pair_index", "noisy_distance"))
        read = atoms.scalars if self.as_released else invariants(atoms)
        first, second = data.pair_index
        pair = read.index_select(0, first) + read.index_select(0, second)
        distance = self.distance_mlp(data.noisy_distance.unsqueeze(1))
        return at_least_float32(self.mlp(torch.cat([pair, distance.to(pair.dtype)], dim=1))).squeeze(1)
