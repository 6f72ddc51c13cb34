"""Coord: pre-training by coordinate denoising."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra.encoders.features import AtomFeatures
from molspectra.heads.vector import VectorHead
from molspectra.noise.coord import CoordNoise
from molspectra.objectives.denoising import DenoisingLoss


class Coord(Configurable, nn.Module):
    """Pre-training via denoising (Zaidi et al., ICLR 2023, arXiv:2206.00133).

    Gaussian noise is added to the coordinates of an equilibrium structure, and the encoder with a vector head predicts
    it, which is up to a factor the force of a harmonic approximation of the energy around equilibrium.

    Args:
        channels: Width of the encoder's features (`encoder.out_channels`).
        std: Standard deviation σ of the noise in Å.
        remove_translation: See :class:`~molspectra.noise.CoordNoise`.
        as_released: Reproduce the released arithmetic in head and normaliser.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> denoise = ms.methods.Coord(channels=32)
        >>> batch = Batch.from_data_list(ms.data.MiniSpectra()[:4])
        >>> denoise(encoder, batch)["loss"].backward()
    """

    def __init__(
        self, channels: int, std: float | int = 0.04, *, remove_translation: bool = False, as_released: bool = False
    ) -> None:
        super().__init__()
        self.noise = CoordNoise(std, remove_translation)
        self.head = VectorHead(channels, as_released)
        self.objective = DenoisingLoss(as_released=as_released)

    def forward(
        self, encoder: Callable[..., AtomFeatures], batch: Data, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Perturb, encode, predict, compare.

        Args:
            encoder: Maps (z, pos, batch) to atom features.
            batch: Molecules with `z` and `pos`, near an energy minimum.
            generator: Source of randomness, on the batch's device.

        Returns:
            {"loss", "denoising"}, equal scalars.
        """
        loss, _ = self.denoise(encoder, batch, generator)
        return {"loss": loss, "denoising": loss}

    def denoise(
        self, encoder: Callable[..., AtomFeatures], batch: Data, generator: torch.Generator | None = None
    ) -> tuple[Tensor, AtomFeatures]:
        """The denoising loss, and the features of the perturbed molecules for further losses."""
        noisy = self.noise(batch, generator)
        atoms = encoder(noisy.z, noisy.pos, noisy.batch)
        return self.objective(self.head(atoms), noisy.pos_target), atoms
