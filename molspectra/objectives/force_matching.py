"""Comparison of a predicted force on every atom with its target."""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from molspectra._validation import check_choice
from molspectra.objectives.objective import Objective, error_of


class ForceMatchingLoss(Objective):
    """Squared error of vectors, |f̂_i - f_i|² summed over x, y and z, averaged in one of two ways.

    * "mean": Mean over the atoms of the batch, (1/N) Σ_i |f̂_i - f_i|². Atoms weigh equally, and the loss does not
      depend on the sizes of molecules.
    * "sum": Mean over molecules of the sum over their atoms, (1/B) Σ_m Σ_{i in m} |f̂_i - f_i|², as 3D-EMGP
      (arXiv:2207.08824) is released. It is larger by the mean number of atoms per molecule. This factor varies from
      batch to batch, and with it the weight against other losses.

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
        check_choice("reduce", reduce, ("sum", "mean"))
        self.reduce = reduce

    def forward(
        self,
        predicted: Float[Tensor, "atoms 3"],
        target: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        num_molecules: int | None = None,
    ) -> Float[Tensor, ""]:
        """Compare forces.

        Args:
            predicted: f̂ (N, 3).
            target: f (N, 3), in the same unit.
            batch: Molecule of each atom, (N,), sorted, or None for one molecule. Used by "sum".
            num_molecules: Number of molecules B, if known. Without it the host reads it off `batch` and waits for the
                device. Used by "sum".

        Returns:
            The loss, a scalar, in the unit squared.
        """
        # |f̂_i - f_i|², invariant under rotation.
        square = error_of(predicted, target).square().sum(dim=1)
        if self.reduce == "mean":
            return self.mean(square.sum(), square.shape[0])
        # As released: the mean over molecules of sums over atoms. `batch` is sorted, so the last atom counts molecules.
        if num_molecules is None:
            num_molecules = 1 if batch is None else int(batch[-1]) + 1
        return self.mean(square.sum(), num_molecules)
