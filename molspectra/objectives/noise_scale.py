"""Classification of noise levels."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from molspectra._validation import check_tensor
from molspectra.layers.precision import at_least_float32
from molspectra.objectives.objective import Objective


class NoiseScaleLoss(Objective):
    """Cross-entropy of the noise level of a molecule, averaged over molecules (3D-EMGP, arXiv:2207.08824).

    Guessing among L levels costs ln L: 3.91 for 50.

    Example:
        >>> NoiseScaleLoss()(torch.zeros(4, 50), torch.tensor([0, 3, 20, 49]))
        tensor(3.9120)
    """

    def forward(
        self, predicted: Float[Tensor, "molecules levels"], target: Int[Tensor, " molecules"]
    ) -> Float[Tensor, ""]:
        """Compare levels.

        Args:
            predicted: Logits of a :class:`~molspectra.methods.NoiseScaleClassifier`, (B, L).
            target: True levels, (B,).

        Returns:
            The loss, a scalar, in nats.
        """
        check_tensor("predicted", predicted)
        check_tensor("target", target)
        # A sum rather than a mean: processes may hold unequal numbers of molecules.
        total = F.cross_entropy(at_least_float32(predicted), target, reduction="sum")
        return self.mean(total, target.shape[0])
