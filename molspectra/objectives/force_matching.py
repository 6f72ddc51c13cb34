"""Comparing a predicted force on every atom with its target."""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_same_shape
from molspectra.distributed import global_mean
from molspectra.layers.precision import at_least_float32


class ForceMatchingLoss(Configurable, nn.Module):
    """Squared error of vectors, |f̂_i - f_i|² summed over x, y and z, averaged in one of two ways.

    * "mean": over the atoms of the batch, (1/N) Σ_i |f̂_i - f_i|². Atoms weigh equally; the loss does not depend on the
      sizes of molecules.
    * "sum": over molecules, of the sum over their atoms, (1/B) Σ_m Σ_{i in m} |f̂_i - f_i|², as 3D-EMGP
      (arXiv:2207.08824) is released. Larger by the mean number of atoms, which varies from batch to batch, and so does
      the weight against other losses.

    Args:
        reduce: "mean" or "sum".

    Raises:
        ValueError: `reduce` is neither.

    Example:
        >>> predicted, target, batch = torch.ones(3, 3), torch.zeros(3, 3), torch.tensor([0, 0, 1])
        >>> ForceMatchingLoss()(predicted, target), ForceMatchingLoss("sum")(predicted, target, batch)
        (tensor(3.), tensor(4.5000))
    """

    def __init__(self, reduce: Literal["sum", "mean"] = "mean") -> None:
        super().__init__()
        if reduce not in ("sum", "mean"):
            raise ValueError(f'reduce must be "sum" or "mean"; got {reduce!r}.')
        self.reduce = reduce

    def forward(
        self,
        predicted: Float[Tensor, "atoms 3"],
        target: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        num_molecules: int | None = None,
    ) -> Float[Tensor, ""]:
        """Compare, at least in float32.

        Args:
            predicted: f̂ (N, 3).
            target: f (N, 3), in the same unit.
            batch: Molecule of each atom, (N,), sorted; None for one molecule. For "sum" only, as is what follows.
            num_molecules: Number of molecules B, if known; otherwise it is read off `batch`, which waits for the
                device.

        Returns:
            The loss, a scalar, in the unit squared.
        """
        check_same_shape(predicted, target)
        target = at_least_float32(target)
        square = (predicted.to(target.dtype) - target).square().sum(dim=1)
        if self.reduce == "mean":
            return global_mean(square.sum(), square.shape[0], self.training)
        if num_molecules is None:
            num_molecules = 1 if batch is None else int(batch[-1]) + 1
        return global_mean(square.sum(), num_molecules, self.training)
