"""A property from a molecule and its spectra together."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra.features import AtomFeatures
from molspectra.heads.energy import MoleculePooling
from molspectra.layers.precision import at_least_float32


class ConcatenationHead(Configurable, nn.Module):
    """y = std · MLP[LN(g) ‖ LN(e)] + mean: features g of a molecule and e of its spectra side by side.

    The simplest way to read both (MolSpectra, arXiv:2502.16284, §4.1: its pilot study on QM9S). g is that of
    :class:`~molspectra.heads.MoleculePooling`. Each is normalised, so that neither drowns the other.

    Args:
        channels: Width F of the atom features.
        spectrum_channels: Width of the spectra's embedding.
        mean: Added to the prediction, in units of the property.
        std: Unit of the prediction, in units of the property.
        hidden_channels: Width of the hidden layer; F by default.
    """

    def __init__(
        self,
        channels: int,
        spectrum_channels: int,
        mean: float = 0.0,
        std: float = 1.0,
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        hidden = hidden_channels or channels
        self.pool = MoleculePooling(channels)
        self.molecule_norm, self.spectrum_norm = nn.LayerNorm(channels), nn.LayerNorm(spectrum_channels)
        self.mlp = nn.Sequential(nn.Linear(channels + spectrum_channels, hidden), nn.SiLU(), nn.Linear(hidden, 1))
        self.mean = mean
        self.std = std

    def forward(
        self,
        atoms: AtomFeatures,
        embedding: Float[Tensor, "molecules spectrum_channels"],
        *,
        batch: Int[Tensor, " atoms"] | None = None,
        num_molecules: int | None = None,
    ) -> Float[Tensor, "molecules 1"]:
        """Atom features and the spectra's embedding (B, E) → predictions (B, 1)."""
        molecules = self.molecule_norm(self.pool(atoms, batch, num_molecules))
        read = self.mlp(torch.cat([molecules, self.spectrum_norm(embedding)], dim=1))
        return self.std * at_least_float32(read) + self.mean
