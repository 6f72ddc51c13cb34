"""3D-EMGP: pre-training on an energy whose gradient undoes noise of any size, and on telling how large the noise is."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.energy import EnergyHead, GradientHead, MoleculePooling
from molspectra.heads.noise_scale import NoiseScaleHead
from molspectra.heads.vector import VectorHead
from molspectra.methods.denoising import Denoised, Denoising, Prediction, predict_vectors
from molspectra.methods.encoding import encode
from molspectra.noise.emgp import EMGPNoise, NoiseMode
from molspectra.objectives.force_matching import ForceMatchingLoss
from molspectra.objectives.noise_scale import NoiseScaleLoss
from molspectra.objectives.weighted_sum import WeightedSum


class EMGP(Denoising):
    """Energy-motivated equivariant pre-training (3D-EMGP; Jiao et al., AAAI 2023, arXiv:2207.08824).

    L = w₁ L_denoising + w₂ L_noise_scale. Molecules are perturbed by σ between 0.01 and 10 Å, each by its own. The
    network predicts the force back in units of σ, -∂E/∂x̃ ≈ T/σ (:func:`~molspectra.noise.riemann_force_target`), and
    from the features of the molecule before and after, which of the scales it was.

    Encodes twice, the molecules as they are and perturbed, and differentiates the second pass twice. Forces as the
    gradient of an energy are equivariant whatever the encoder, which may give scalars alone.

    Args:
        channels: Width F of the encoder's features (`encoder.out_channels`).
        max_std: See :class:`~molspectra.noise.EMGPNoise`, like the next four.
        min_std: Å, too.
        num_levels: Number of noise levels.
        steps: Number of Langevin steps.
        mode: "riemann", "kabsch" or "gaussian".
        prediction: "gradient" of an energy, as published, or "vector", from the encoder's vectors, without the second
            derivative.
        weights: Weights of "denoising" and "noise_scale"; 1 and 0.2, the published values, if not given. They were
            chosen for a sum over atoms (`as_released`); the mean is smaller by the mean number of atoms, and 0.2 so
            much more beside it.
        as_released: Reproduce the released arithmetic. Errors of the forces are summed over the atoms of a molecule,
            not averaged over all atoms; energy and molecule features read the encoder's scalars alone (so that weights
            which shape its vectors only get no gradient, in mode "gradient"); mode "kabsch" accepts mirror images; the
            vector head takes plain norms.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> denoise = EMGP(channels=32)
        >>> losses = denoise(encoder, Batch.from_data_list(list(ms.data.MiniSpectra()[:4])))
        >>> sorted(losses)
        ['denoising', 'loss', 'noise_scale']
        >>> losses["loss"].backward()
    """

    def __init__(
        self,
        channels: int,
        *,
        max_std: float = 10.0,
        min_std: float = 0.01,
        num_levels: int = 50,
        steps: int = 1,
        mode: NoiseMode = "riemann",
        prediction: Prediction = "gradient",
        weights: Mapping[str, float] | None = None,
        as_released: bool = False,
    ) -> None:
        if prediction not in ("gradient", "vector"):
            raise ValueError(f'prediction must be "gradient" or "vector"; got {prediction!r}.')
        energy = EnergyHead(channels, as_released) if prediction == "gradient" else None
        super().__init__(
            EMGPNoise(max_std, min_std, num_levels, steps, mode, as_released=as_released),
            VectorHead(channels, as_released) if energy is None else GradientHead(energy),
            ForceMatchingLoss("sum" if as_released else "mean"),
        )
        self.pooling = MoleculePooling(channels, as_released) if energy is None else None
        self.noise_scale_head = NoiseScaleHead(channels, num_levels)
        self.noise_scale_objective = NoiseScaleLoss()
        weights = {"denoising": 1.0, "noise_scale": 0.2} if weights is None else weights
        if set(weights) != {"denoising", "noise_scale"}:
            raise ValueError(f'weights must be of "denoising" and "noise_scale"; got {sorted(weights)}.')
        self.total = WeightedSum(weights)

    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Perturb, encode before and after, predict forces and noise levels, compare.

        Args:
            encoder: Maps (z, pos, batch) to atom features; bonds are handed over if it takes them.
            batch: Molecules with `z` and `pos`.
            generator: Source of randomness, on the batch's device.

        Returns:
            {"loss", "denoising", "noise_scale"}, scalars.

        Raises:
            ValueError: the encoder lacks what the head needs.
        """
        return self._losses(encoder, batch, generator)[0]

    def denoise(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> Denoised:
        """The weighted sum, and the perturbed molecules with their features, for further losses."""
        losses, atoms, noisy = self._losses(encoder, batch, generator)
        return Denoised(losses["loss"], atoms, noisy)

    def _losses(
        self, encoder: Encoder, batch: Data, generator: torch.Generator | None
    ) -> tuple[dict[str, Tensor], AtomFeatures, Data]:
        noisy = self.noise(batch, generator)
        predicted, atoms = predict_vectors(encoder, self.head, noisy)
        num_molecules = num_molecules_of(batch)
        per_atom = noisy.noise_scale if noisy.batch is None else noisy.noise_scale.index_select(0, noisy.batch)
        target = noisy.force_target / per_atom.unsqueeze(1)
        pool: nn.Module = self.pooling or self.head.energy.pool  # type: ignore[union-attr, assignment]
        before, after = (pool(each, noisy.batch, num_molecules) for each in (encode(encoder, batch), atoms))
        logits = self.noise_scale_head(before, after)
        losses = {
            "denoising": self.objective(predicted, target, noisy.batch, num_molecules),
            "noise_scale": self.noise_scale_objective(logits, noisy.noise_level),
        }
        return self.total(losses), atoms, noisy
