"""3D-EMGP: pre-training of an energy whose gradient undoes noise of any scale, and of a noise-scale classifier."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of, of_each_atom
from molspectra._signature import attribute_of
from molspectra._transforms import in_eager_mode
from molspectra._validation import check_choice, check_weights
from molspectra.encoders.protocol import Encoder
from molspectra.heads.energy import EnergyHead, GradientHead
from molspectra.heads.pooling import MoleculePooling
from molspectra.heads.vector import VectorHead
from molspectra.methods.denoising import predict_vectors
from molspectra.methods.encoding import encode
from molspectra.methods.noise_scale_classifier import NoiseScaleClassifier
from molspectra.methods.pretext_task import PretextTask, TaskOutput
from molspectra.noise.emgp import EMGPNoise, NoiseMode
from molspectra.objectives.force_matching import ForceMatchingLoss
from molspectra.objectives.noise_scale import NoiseScaleLoss
from molspectra.objectives.weighted_sum import WeightedSum


class EMGP(PretextTask):
    """Energy-motivated equivariant pre-training (3D-EMGP; Jiao et al., AAAI 2023, arXiv:2207.08824).

    L = w₁ L_denoising + w₂ L_noise_scale. Noise of scale σ between 0.01 and 10 Å, drawn per molecule, perturbs the
    molecules. The network predicts the restoring force in units of σ, -∂E/∂x̃ ≈ T/σ
    (:func:`~molspectra.noise.riemann_force_target`), and the scale from the features before and after noise.

    A step encodes clean and noisy molecules, and differentiates the second pass twice. Forces as the gradient of an
    energy are equivariant for any encoder, including encoders that give scalars alone.

    Args:
        channels: Width F of the encoder's features (`encoder.out_channels`).
        max_std: Largest noise scale in Å. See :class:`~molspectra.noise.EMGPNoise`.
        min_std: Smallest noise scale in Å.
        num_levels: Number of noise levels.
        steps: Number of Langevin steps.
        mode: "riemann", "kabsch" or "gaussian".
        prediction: "gradient" of an energy, as published, or "vector" from the encoder's vectors, without the second
            derivative.
        weights: Weights of "denoising" and "noise_scale". Default: 1 and 0.2, as published. The published weights
            belong to a sum over atoms (`as_released`). The mean is smaller by the mean number of atoms, which makes 0.2
            weigh more.
        as_released: Reproduce the released arithmetic. Errors of forces are summed over the atoms of a molecule instead
            of averaged over all atoms. Energy and molecule features read scalars alone, so that weights that shape
            vectors only get no gradient with "gradient". Mode "kabsch" accepts mirror images. The vector head uses
            plain norms.

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
        prediction: Literal["gradient", "vector"] = "gradient",
        weights: Mapping[str, float] | None = None,
        as_released: bool = False,
    ) -> None:
        check_choice("prediction", prediction, ("gradient", "vector"))
        super().__init__()
        energy = EnergyHead(channels, as_released) if prediction == "gradient" else None
        self.noise = EMGPNoise(max_std, min_std, num_levels, steps, mode, as_released=as_released)
        self.head = VectorHead(channels, as_released) if energy is None else GradientHead(energy)
        self.objective = ForceMatchingLoss("sum" if as_released else "mean")
        self.pooling = MoleculePooling(channels, as_released) if energy is None else None
        self.noise_scale_head = NoiseScaleClassifier(channels, num_levels)
        self.noise_scale_objective = NoiseScaleLoss()
        self.total = WeightedSum(check_weights(weights, {"denoising": 1.0, "noise_scale": 0.2}))

    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Perturb, encode molecules before and after, predict forces and noise levels, compare."""
        with record_function("molspectra::noise"):
            noisy = in_eager_mode(self.noise, batch, generator)
        predicted, atoms = predict_vectors(encoder, self.head, noisy)
        # Force targets grow with the noise scale σ. In units of σ, the fifty levels weigh alike in the loss.
        target = noisy.force_target / of_each_atom(noisy.noise_scale, noisy).unsqueeze(1)
        pool: nn.Module = self.pooling or attribute_of(attribute_of(self.head, "energy"), "pool")
        # The scale shows in the difference between the features of both passes.
        clean = encode(encoder, batch)
        with record_function("molspectra::head"):
            logits = self.noise_scale_head(pool(clean, batch), pool(atoms, noisy))
        with record_function("molspectra::loss"):
            losses = self.total(
                {
                    "denoising": self.objective(predicted, target, noisy.batch, num_molecules_of(batch)),
                    "noise_scale": self.noise_scale_objective(logits, noisy.noise_level),
                }
            )
        return TaskOutput(losses.pop("loss"), atoms, noisy, losses)
