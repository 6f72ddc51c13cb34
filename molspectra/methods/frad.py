"""Frad: pre-training by fractional denoising."""

from typing import Literal

from molspectra.methods.denoising import Denoising, Prediction, make_vector_head
from molspectra.noise.frad import FradNoise
from molspectra.objectives.denoising import DenoisingLoss


class Frad(Denoising):
    """Fractional denoising (Feng et al., ICML 2023, arXiv:2307.10683, with vibrations: 2024, arXiv:2407.11086).

    Chemical noise first rotates the rotatable bonds of a conformer, or vibrates it, and coordinate noise follows. The
    network predicts the coordinate noise only. Chemical noise is large along soft motions and small along stiff ones,
    so the learned forces are those of an anisotropic landscape.

    Args:
        channels: Width of the encoder's features (`encoder.out_channels`).
        std: Standard deviation σ of the coordinate noise in Å.
        mode: "torsion" (RN) or "vibration" (VRN).
        rotatable_std: Standard deviation in rad about rotatable bonds. Default: 2° for "torsion", 1 rad for
            "vibration".
        bond_std: Standard deviation of bond lengths in Å, for vibrations.
        angle_std: Standard deviation of angles in rad, for vibrations.
        torsion_std: Standard deviation in rad about other bonds, for vibrations.
        decay: Factor that reduces the rotation of inner bonds. See :class:`~molspectra.noise.FradNoise`.
        remove_translation: See :class:`~molspectra.noise.CoordNoise`.
        prediction: See :class:`Coord`.
        as_released: Reproduce the released arithmetic in noise, head and normalizer. A gradient has no released
            form.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> denoise = ms.methods.Frad(channels=32)
        >>> molecules = ms.data.MiniSpectra(transform=ms.data.transforms.AddTopology())
        >>> denoise(encoder, Batch.from_data_list(list(molecules[:4])))["loss"].backward()
    """

    def __init__(
        self,
        channels: int,
        std: float = 0.04,
        mode: Literal["torsion", "vibration"] = "torsion",
        *,
        rotatable_std: float | None = None,
        bond_std: float = 0.058,
        angle_std: float = 0.129,
        torsion_std: float = 0.18,
        decay: float | None = None,
        remove_translation: bool = False,
        prediction: Prediction = "vector",
        as_released: bool = False,
    ) -> None:
        noise = FradNoise(
            std,
            mode,
            rotatable_std=rotatable_std,
            bond_std=bond_std,
            angle_std=angle_std,
            torsion_std=torsion_std,
            decay=decay,
            remove_translation=remove_translation,
            as_released=as_released,
        )
        head = make_vector_head(channels, prediction, as_released)
        super().__init__(noise, head, DenoisingLoss(as_released=as_released))
