"""Telling noise levels apart."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra._config import Configurable
from molspectra.distributed import global_mean
from molspectra.layers.precision import at_least_float32


class NoiseScaleLoss(Configurable, nn.Module):
    """Cross-entropy of the level of noise on a molecule, averaged over molecules (3D-EMGP, arXiv:2207.08824).

    Guessing among L levels costs ln L: 3.91 for 50.

    Example:
        >>> NoiseScaleLoss()(torch.zeros(4, 50), torch.tensor([0, 3, 20, 49]))
        tensor(3.9120)
    """

    def forward(
        self, logits: Float[Tensor, "molecules levels"], noise_level: Int[Tensor, " molecules"]
    ) -> Float[Tensor, ""]:
        """Logits (B, levels) of a :class:`~molspectra.heads.NoiseScaleHead` and true levels (B,) → a scalar."""
        total = F.cross_entropy(at_least_float32(logits), noise_level, reduction="sum")
        return global_mean(total, noise_level.shape[0], self.training)
