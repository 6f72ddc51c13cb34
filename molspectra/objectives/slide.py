"""Predicting the energy gradient of a perturbed conformer, all of it or along random directions."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_same_shape
from molspectra.distributed import global_mean
from molspectra.objectives.target_normalizer import TargetNormalizer


class SliDeLoss(Configurable, nn.Module):
    """Squared error between a predicted field and ∇E, exactly or sliced (SliDe, arXiv:2311.02124).

    With the prediction m and the gradient g, (N, 3), g in units of its running scale (:class:`TargetNormalizer`):

    * "exact": |m - g|² / 3N, the mean over the atoms of the batch and the three axes.
    * "sliced": the paper's estimator of it, Σ_M ⟨(m·v_s - g·v_s)²⟩_s / 3N, where v_s ~ N(0, 1) are directions of all
      atoms of molecule M. The paper takes g·v_s from finite differences; it is exact here, as the Jacobian-vector
      product Σ_d (∂E/∂d) (Jv)_d is (Jᵀ ∂E/∂d)·v. In the mean equal to "exact", with a spread that falls as 1/√S.

    Args:
        target: "exact" or "sliced".
        num_slices: S, for "sliced".
        normalize: Normalise the gradient by running statistics; otherwise it counts in kcal/mol/Å.
        as_released: The released normaliser, for each axis. The released code regresses as "exact" does on what it has
            recovered from its slices (`as_released` of the noise); its sliced loss is never reached.

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
        if target not in ("exact", "sliced"):
            raise ValueError(f"target must be 'exact' or 'sliced'; got {target!r}.")
        if num_slices < 1:
            raise ValueError(f"num_slices must be at least 1; got {num_slices}.")
        self.target = target
        self.num_slices = num_slices
        self.normalizer = TargetNormalizer(as_released) if normalize else None

    def forward(
        self,
        predicted: Float[Tensor, "atoms 3"],
        gradient: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        """Predicted field and true gradient, (N, 3) each; the molecule of each atom and randomness are for slices."""
        check_same_shape(predicted, gradient)
        if self.normalizer is not None:
            gradient = self.normalizer(gradient)
        residual = predicted.to(gradient.dtype) - gradient
        if self.target == "exact":
            return global_mean(residual.square().sum(), residual.numel(), self.training)
        # The numbers of torch.randn, which takes no generator, not even None, where sizes are dynamic (torch.compile).
        slices = residual.new_empty(self.num_slices, *residual.shape).normal_(generator=generator)
        along = (residual * slices).sum(dim=2)
        batch = torch.zeros_like(residual[:, 0], dtype=torch.int64) if batch is None else batch
        # One column for each atom, of which there are at least as many as molecules: no need to count those.
        per_molecule = torch.zeros_like(along).index_add(1, batch, along)
        return global_mean(per_molecule.square().sum(), self.num_slices * residual.numel(), self.training)
