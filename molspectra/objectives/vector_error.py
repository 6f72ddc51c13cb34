"""Mean length of the error of vectors."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from molspectra._validation import check_tensor
from molspectra.objectives.objective import Objective, error_of


class VectorErrorLoss(Objective):
    """Mean length of the error of vectors, (1/n) Σ_i |f̂_i - f_i|, over selected atoms (DeNS, arXiv:2403.09549).

    Large errors count less than in :class:`ForceMatchingLoss`, which squares them. The length, unlike a sum of absolute
    values over axes, does not change under rotation.

    Example:
        >>> loss, predicted, target = VectorErrorLoss(), torch.zeros(3, 3), torch.ones(3, 3)
        >>> loss(predicted, target, torch.tensor([True, False, True]))
        tensor(1.7321)
    """

    def forward(
        self,
        predicted: Float[Tensor, "atoms 3"],
        target: Float[Tensor, "atoms 3"],
        mask: Bool[Tensor, " atoms"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare vectors.

        Args:
            predicted: f̂ (N, 3).
            target: f (N, 3), in the same unit. Rows that are not finite are left out.
            mask: True for atoms that count, (N,); None for all.

        Returns:
            The loss, a scalar, in that unit, 0 if no atom counts.
        """
        error = error_of(predicted, target)
        counts = target.isfinite().all(dim=1)
        if mask is not None:
            check_tensor("mask", mask)
            counts = counts & mask
        # Errors of 0 have a gradient of 0. Without a dynamic shape, the host does not wait for their number.
        length = torch.linalg.vector_norm(torch.where(counts.unsqueeze(1), error, 0.0), dim=1)
        return self.mean(length.sum(), counts.sum())
