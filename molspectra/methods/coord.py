"""Coord: pre-training by coordinate denoising."""

from collections.abc import Sequence

from molspectra.methods.denoising import Denoising, Prediction, make_vector_head
from molspectra.noise.coord import CoordNoise
from molspectra.objectives.denoising import DenoisingLoss


class Coord(Denoising):
    """Pre-training via denoising (Zaidi et al., ICLR 2023, arXiv:2206.00133).

    The encoder with a vector head predicts Gaussian noise that was added to the coordinates of an equilibrium
    structure. Up to a factor, this is the force of a harmonic approximation of the energy around equilibrium.

    Args:
        channels: Width of the encoder's features (`encoder.out_channels`).
        std: Standard deviation σ of the noise in Å. With a pair (low, high), each molecule draws its own, and the error
            is taken in units of it.
        remove_translation: See :class:`~molspectra.noise.CoordNoise`.
        prediction: "vector" reads the encoder's vectors, "gradient" differentiates an energy and fits any encoder.
        as_released: Reproduce the released arithmetic in head and normalizer. A gradient has no released form.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> denoise = ms.methods.Coord(channels=32)
        >>> batch = Batch.from_data_list(ms.data.MiniSpectra()[:4])
        >>> denoise(encoder, batch)["loss"].backward()
    """

    def __init__(
        self,
        channels: int,
        std: float | Sequence[float] = 0.04,
        *,
        remove_translation: bool = False,
        prediction: Prediction = "vector",
        as_released: bool = False,
    ) -> None:
        noise = CoordNoise(std, remove_translation)
        head = make_vector_head(channels, prediction, as_released)
        super().__init__(noise, head, DenoisingLoss(as_released=as_released))
