"""SliDe: pre-training by sliced denoising, on the forces of a molecular energy."""

from typing import Literal

import torch
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._transforms import in_eager_mode
from molspectra.encoders.protocol import Encoder
from molspectra.methods.denoising import Denoising, Prediction, make_vector_head, predict_vectors
from molspectra.methods.pretext_task import TaskOutput
from molspectra.noise.coord import CoordNoise
from molspectra.noise.slide import SliDeNoise
from molspectra.objectives.denoising import DenoisingLoss
from molspectra.objectives.slide import SliDeLoss


class SliDe(Denoising):
    """Sliced denoising (Ni et al., ICLR 2024, arXiv:2311.02124).

    Noise from the Boltzmann distribution of a force field deforms the molecules, and the network predicts the gradient
    of its energy there (:class:`~molspectra.noise.SliDeNoise`). An optional second pass denoises coordinates around the
    deformed molecules, as the released configuration for MD17 does.

    Args:
        channels: Width of the encoder's features (`encoder.out_channels`).
        target: "exact" or "sliced" (:class:`~molspectra.objectives.SliDeLoss`).
        num_slices: Number of slices, for "sliced" and `as_released`.
        thermal_energy: kT of the noise in kcal/mol.
        coord_weight: Weight of the coordinate denoising. 0 leaves its pass out, 1 is the released value for MD17.
        coord_std: Standard deviation of its noise in Å.
        prediction: See :class:`Coord`.
        as_released: Reproduce the released arithmetic in noise, target, head and normalizer.

    Raises:
        ValueError: `coord_weight` is negative.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> denoise = ms.methods.SliDe(channels=32)
        >>> topology, constants = ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()
        >>> molecules = ms.data.MiniSpectra(transform=lambda molecule: constants(topology(molecule)))
        >>> denoise(encoder, Batch.from_data_list(list(molecules[:4])))["loss"].backward()
    """

    def __init__(
        self,
        channels: int,
        *,
        target: Literal["exact", "sliced"] = "exact",
        num_slices: int = 128,
        thermal_energy: float = 1.0,
        coord_weight: float = 0.0,
        coord_std: float = 0.04,
        prediction: Prediction = "vector",
        as_released: bool = False,
    ) -> None:
        if coord_weight < 0:
            raise ValueError(f"coord_weight must not be negative; got {coord_weight}. 0 leaves the term out.")
        super().__init__(
            SliDeNoise(thermal_energy, num_slices=num_slices, as_released=as_released),
            make_vector_head(channels, prediction, as_released),
            SliDeLoss(target, num_slices, as_released=as_released),
        )
        self.coord_weight = coord_weight
        if coord_weight > 0:
            self.coord_noise = CoordNoise(coord_std)
            self.coord_head = make_vector_head(channels, prediction, as_released)
            self.coord_objective = DenoisingLoss(as_released=as_released)

    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Vibrate, encode, predict the gradient of the energy, compare."""
        with record_function("molspectra::noise"):
            noisy = in_eager_mode(self.noise, batch, generator)
        predicted, atoms = predict_vectors(encoder, self.head, noisy)
        with record_function("molspectra::loss"):
            # The energy is that of the force field, in closed form: no quantum-chemical labels are needed.
            loss = self.objective(predicted, noisy.gradient_target, noisy.batch, generator)
        if self.coord_weight > 0:
            # Small isotropic noise around the deformed molecule: a second, smooth task, without force constants.
            with record_function("molspectra::noise"):
                noisier = in_eager_mode(self.coord_noise, noisy, generator)
            around, _ = predict_vectors(encoder, self.coord_head, noisier)
            with record_function("molspectra::loss"):
                loss = loss + self.coord_weight * self.coord_objective(around, noisier.pos_target)
        return TaskOutput(loss, atoms, noisy, {"denoising": loss})
