"""Predicting the noise that was added to a conformer."""

from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_same_shape
from molspectra.distributed import global_mean
from molspectra.objectives.target_normalizer import TargetNormalizer


class DenoisingLoss(Configurable, nn.Module):
    """Mean squared error between predicted and normalised displacement (Coord, arXiv:2206.00133, eq. 4).

    The mean runs over all atoms of the batch and the three axes, so that atoms, not molecules, weigh equally.

    Args:
        normalize: Normalise the target by running statistics (:class:`TargetNormalizer`); the scale of the noise then
            needs no weight.
        as_released: The released normaliser.
    """

    def __init__(self, normalize: bool = True, as_released: bool = False) -> None:
        super().__init__()
        self.normalizer = TargetNormalizer(as_released) if normalize else None

    def forward(self, predicted: Float[Tensor, "atoms 3"], target: Float[Tensor, "atoms 3"]) -> Float[Tensor, ""]:
        """Predicted and true displacements, (N, 3) each; the target in Å, the prediction in units of its scale."""
        check_same_shape(predicted, target)
        if self.normalizer is not None:
            target = self.normalizer(target)
        square = (predicted.to(target.dtype) - target).square()
        return global_mean(square.sum(), square.numel(), self.training)
