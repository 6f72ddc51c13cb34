"""Denoising of coordinates, the task that Coord, Frad and SliDe share."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import of_each_atom
from molspectra._signature import unwrap
from molspectra._transforms import in_eager_mode
from molspectra._validation import check_choice
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.energy import GradientHead, differentiable
from molspectra.heads.vector import VectorHead
from molspectra.methods.encoding import encode
from molspectra.methods.pretext_task import PretextTask, TaskOutput

Noise = Callable[[Data, torch.Generator | None], Data]
Prediction = Literal["vector", "gradient"]


class Denoising(PretextTask):
    """Prediction of the coordinate noise on molecules, with any noise, head and objective.

    Args:
        noise: Noise `noise(data, generator) -> data` that perturbs `pos` and adds `pos_target` (N, 3). If it adds
            `noise_scale` σ (B,) as well, the error is taken in units of σ, so that weak and strong noise count alike.
        head: Head `head(atoms, data) -> (N, 3)`. Encoders without vectors need a
            :class:`~molspectra.heads.GradientHead`.
        objective: Loss `objective(predicted, target)` of displacements.

    Example:
        >>> noise, head, objective = ms.noise.CoordNoise(0.1), ms.heads.VectorHead(32), ms.objectives.DenoisingLoss()
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> losses = Denoising(noise, head, objective)(encoder, ms.data.MiniSpectra()[0])
        >>> sorted(losses)
        ['denoising', 'loss']
    """

    def __init__(self, noise: Noise, head: nn.Module, objective: nn.Module) -> None:
        super().__init__()
        self.noise = noise
        self.head = head
        self.objective = objective

    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Perturb, encode, predict the displacements, compare."""
        with record_function("molspectra::noise"):
            noisy = in_eager_mode(self.noise, batch, generator)
        if "pos_target" not in noisy:
            raise ValueError(
                f"noise must add pos_target (N, 3); {self.noise} left the fields {list(noisy.keys())}. For another "
                "target override run, as SliDe does."
            )
        # The best prediction of Gaussian noise is -σ² ∇ log p(x̃) (Vincent 2011), and -log p is an energy in units of
        # kT: denoising learns a force field.
        predicted, atoms = predict_vectors(encoder, self.head, noisy)
        target = noisy.pos_target
        if "noise_scale" in noisy:
            scale = of_each_atom(noisy.noise_scale, noisy).unsqueeze(1)
            predicted, target = predicted / scale, target / scale
        with record_function("molspectra::loss"):
            loss = self.objective(predicted, target)
        return TaskOutput(loss, atoms, noisy, {"denoising": loss})


def make_vector_head(channels: int, prediction: Prediction, as_released: bool = False) -> nn.Module:
    """Make a head that predicts one vector per atom: from the encoder's vectors, or as the gradient of an energy.

    Raises:
        ValueError: `prediction` is neither.
    """
    check_choice("prediction", prediction, ("vector", "gradient"))
    return VectorHead(channels, as_released) if prediction == "vector" else GradientHead(channels=channels)


def predict_vectors(
    encoder: Encoder, head: nn.Module, data: Data, context: Tensor | None = None
) -> tuple[Tensor, AtomFeatures]:
    """Encode molecules, with a context (N, F) if any, and predict a vector per atom, (N, 3), beside the features."""
    if not isinstance(unwrap(head), GradientHead):
        atoms = encode(encoder, data, context=context)
        with record_function("molspectra::head"):
            return head(atoms, data), atoms
    # The gradient of an energy is needed in evaluation under torch.no_grad(), too.
    with torch.enable_grad():
        data = differentiable(data)
        atoms = encode(encoder, data, context=context)
        with record_function("molspectra::head"):
            return head(atoms, data), atoms
