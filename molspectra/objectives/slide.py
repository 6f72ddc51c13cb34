"""Prediction of the energy gradient of a perturbed conformer, completely or along random directions."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra._validation import check_choice, check_sizes
from molspectra.objectives.objective import Objective, error_of
from molspectra.objectives.target_normalizer import TargetNormalizer


class SliDeLoss(Objective):
    """Squared error between a predicted field and ∇E, exactly or sliced (SliDe, arXiv:2311.02124).

    With the prediction m and the gradient g, (N, 3), g in units of its running scale (:class:`TargetNormalizer`):

    * "exact": |m - g|² / 3N, the mean over the atoms of the batch and the three axes.
    * "sliced": The paper's estimator of it, Σ_M ⟨(m·v_s - g·v_s)²⟩_s / 3N, where v_s ~ N(0, 1) are directions of all
      atoms of molecule M. The paper computes g·v_s by finite differences. Here it is exact, because the Jacobian-vector
      product Σ_d (∂E/∂d) (Jv)_d equals (Jᵀ ∂E/∂d)·v. The expectation is that of "exact", and the spread falls as 1/√S.

    Args:
        target: "exact" or "sliced".
        num_slices: Number S of directions, for "sliced".
        normalize: Normalize the gradient by running statistics, rather than count it in kcal/mol/Å.
        as_released: Use the released normalizer of each axis. The released code trains on "exact" with the gradient
            that it recovers from its slices (`as_released` of the noise). It never reaches its sliced loss.

    Raises:
        ValueError: `target` is neither, or `num_slices` is below 1.
    """

    def __init__(
        self,
        target: Literal["exact", "sliced"] = "exact",
        num_slices: int = 128,
        normalize: bool = True,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        check_choice("target", target, ("exact", "sliced"))
        check_sizes(num_slices=num_slices)
        self.target = target
        self.num_slices = num_slices
        self.normalizer = TargetNormalizer(as_released) if normalize else None

    def forward(
        self,
        predicted: Float[Tensor, "atoms 3"],
        target: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        """Compare fields.

        Args:
            predicted: Predicted field, (N, 3), in units of the target's scale.
            target: True gradient in kcal/mol/Å, (N, 3).
            batch: Molecule of each atom, (N,), or None for one molecule. Used by "sliced".
            generator: Source of randomness, on the device of the target. Used by "sliced".

        Returns:
            The loss, a scalar.
        """
        error = error_of(predicted, target, self.normalizer)
        if self.target == "exact":
            return self.mean(error.square().sum(), error.numel())
        # The numbers of torch.randn, which accepts no generator, not even None, in a compiled graph of dynamic size.
        slices = error.new_empty(self.num_slices, *error.shape).normal_(generator=generator)
        along = (error * slices).sum(dim=2)
        batch = torch.zeros_like(error[:, 0], dtype=torch.int64) if batch is None else batch
        # A direction moves all atoms of a molecule: sum its projections over the molecule. One column per atom suffices
        # for all molecules, so that the host need not count them.
        per_molecule = torch.zeros_like(along).index_add(1, batch, along)
        return self.mean(per_molecule.square().sum(), self.num_slices * error.numel())
