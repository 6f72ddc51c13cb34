"""Prediction of the noise that was added to a conformer."""

from jaxtyping import Float, Int
from torch import Tensor

from molspectra.objectives.objective import Objective, error_of
from molspectra.objectives.target_normalizer import TargetNormalizer


class DenoisingLoss(Objective):
    """Mean squared error between predicted and normalized displacement (Coord, arXiv:2206.00133, eq. 4).

    The mean runs over all atoms of the batch and the three axes: atoms weigh equally, not molecules.

    Args:
        normalize: Normalize the target by running statistics (:class:`TargetNormalizer`). The scale of the noise then
            needs no weight.
        as_released: Use the released normalizer.

    Example:
        >>> loss = DenoisingLoss(normalize=False)
        >>> loss(torch.zeros(3, 3), torch.full((3, 3), 0.1))
        tensor(0.0100)
    """

    def __init__(self, normalize: bool = True, as_released: bool = False) -> None:
        super().__init__()
        self.normalizer = TargetNormalizer(as_released) if normalize else None

    def forward(
        self,
        predicted: Float[Tensor, "atoms 3"],
        target: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare displacements.

        Args:
            predicted: Predicted displacements, (N, 3), in units of the target's scale.
            target: True displacements in Å, (N, 3).
            batch: Ignored. All losses of vectors per atom share one call form.

        Returns:
            The loss, a scalar.
        """
        # Over atoms and axes at once: a molecule weighs in proportion to its size.
        square = error_of(predicted, target, self.normalizer).square()
        return self.mean(square.sum(), square.numel())
