"""What the denoising methods share: perturb, encode, predict, compare."""

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._config import Configurable
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.energy import GradientHead, differentiable
from molspectra.heads.vector import VectorHead
from molspectra.methods.encoding import encode

Noise = Callable[[Data, torch.Generator | None], Data]
Prediction = Literal["vector", "gradient"]


class Denoised(NamedTuple):
    """What a method has made of a batch, for further losses."""

    loss: Tensor
    atoms: AtomFeatures
    """Features of the perturbed molecules."""
    noisy: Data
    """The perturbed molecules."""


class Denoising(Configurable, nn.Module):
    """Predict the coordinate noise that was added to molecules, with any noise, head and objective.

    Args:
        noise: `noise(data, generator) -> data`, with `pos` perturbed and `pos_target` (N, 3) added.
        head: Maps atom features to (N, 3); or a :class:`~molspectra.heads.GradientHead`, for encoders without vectors.
        objective: Maps predicted and true displacements to a scalar.

    Example:
        >>> noise, head, objective = ms.noise.CoordNoise(0.1), ms.heads.VectorHead(32), ms.objectives.DenoisingLoss()
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> losses = Denoising(noise, head, objective)(encoder, ms.data.MiniSpectra()[0])
    """

    keeps_atoms: ClassVar[bool] = True
    """Whether the perturbed molecules have the atoms of those that come in."""

    def __init__(self, noise: Noise, head: nn.Module, objective: nn.Module) -> None:
        super().__init__()
        self.noise = noise
        self.head = head
        self.objective = objective

    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Perturb, encode, predict, compare.

        Args:
            encoder: Maps (z, pos, batch) to atom features; bonds are handed over if it takes them.
            batch: Molecules with `z` and `pos`, near an energy minimum, and what the noise needs.
            generator: Source of randomness, on the batch's device.

        Returns:
            {"loss", "denoising"}, equal scalars.

        Raises:
            ValueError: the batch lacks what the noise needs, or the encoder what the head needs.
        """
        loss = self.denoise(encoder, batch, generator).loss
        return {"loss": loss, "denoising": loss}

    def denoise(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> Denoised:
        """The loss, and the perturbed molecules with their features, for further losses."""
        noisy = self.noise(batch, generator)
        if "pos_target" not in noisy:
            raise ValueError(
                f"noise must add pos_target (N, 3); {self.noise} has left the fields {list(noisy.keys())}. For another "
                "target override denoise, as SliDe does."
            )
        predicted, atoms = predict_vectors(encoder, self.head, noisy)
        return Denoised(self.objective(predicted, noisy.pos_target), atoms, noisy)


def make_vector_head(channels: int, prediction: Prediction, as_released: bool = False) -> nn.Module:
    """The head that predicts a vector an atom: from the encoder's vectors, or as the gradient of an energy.

    Raises:
        ValueError: there is no such prediction.
    """
    if prediction == "vector":
        return VectorHead(channels, as_released)
    if prediction == "gradient":
        return GradientHead(channels=channels)
    raise ValueError(f'prediction must be "vector" or "gradient"; got {prediction!r}.')


def predict_vectors(encoder: Encoder, head: nn.Module, data: Data) -> tuple[Tensor, AtomFeatures]:
    """A vector for every atom (N, 3), and the features it was read from."""
    if not isinstance(head, GradientHead):
        atoms = encode(encoder, data)
        return head(atoms), atoms
    with torch.enable_grad():
        pos = differentiable(data.pos)
        atoms = encode(encoder, data, pos=pos)
        return head(atoms, pos, data.batch, num_molecules_of(data)), atoms
