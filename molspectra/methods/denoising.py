"""What the denoising methods share: perturb, encode, predict, compare."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra.encoders.features import AtomFeatures

Noise = Callable[[Data, torch.Generator | None], Data]


class Denoised(NamedTuple):
    """What a denoising method has made of a batch."""

    loss: Tensor
    atoms: AtomFeatures
    """Features of the perturbed molecules."""
    noisy: Data
    """The perturbed molecules."""


class Denoising(Configurable, nn.Module):
    """Predict the coordinate noise that was added to molecules, with any noise, head and objective.

    Args:
        noise: `noise(data, generator) -> data`, with `pos` perturbed and `pos_target` (N, 3) added.
        head: Maps atom features to (N, 3).
        objective: Maps predicted and true displacements to a scalar.

    Example:
        >>> noise, head, objective = ms.noise.CoordNoise(0.1), ms.heads.VectorHead(32), ms.objectives.DenoisingLoss()
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> losses = Denoising(noise, head, objective)(encoder, ms.data.MiniSpectra()[0])
    """

    def __init__(self, noise: Noise, head: nn.Module, objective: nn.Module) -> None:
        super().__init__()
        self.noise = noise
        self.head = head
        self.objective = objective

    def forward(
        self, encoder: Callable[..., AtomFeatures], batch: Data, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Perturb, encode, predict, compare.

        Args:
            encoder: Maps (z, pos, batch) to atom features.
            batch: Molecules with `z` and `pos`, near an energy minimum, and what the noise needs.
            generator: Source of randomness, on the batch's device.

        Returns:
            {"loss", "denoising"}, equal scalars.

        Raises:
            ValueError: the batch lacks what the noise needs.
        """
        loss = self.denoise(encoder, batch, generator).loss
        return {"loss": loss, "denoising": loss}

    def denoise(
        self, encoder: Callable[..., AtomFeatures], batch: Data, generator: torch.Generator | None = None
    ) -> Denoised:
        """The loss, and the perturbed molecules with their features, for further losses."""
        noisy = self.noise(batch, generator)
        if "pos_target" not in noisy:
            raise ValueError(
                f"noise must add pos_target (N, 3); {self.noise} has left the fields {list(noisy.keys())}. For another "
                "target override denoise, as SliDe does."
            )
        atoms = encoder(noisy.z, noisy.pos, noisy.batch)
        return Denoised(self.objective(self.head(atoms), noisy.pos_target), atoms, noisy)
