"""Score matching of noisy distances."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter

from molspectra._validation import check_choice, check_tensor, check_tensors
from molspectra.objectives.objective import Objective, error_of


class DistanceScoreLoss(Objective):
    """Denoising score matching of distances, ½ σ^β |s/σ - t/σ|² (SE(3)-DDM, Liu et al. 2023, arXiv:2206.13602).

    Predicted score s and target t are in units of 1/σ, so that the loss of a pair is ½ σ^(β - 2) (s - t)². At β = 2 all
    scales of noise weigh alike. Between 0.01 and 10 Å the weight σ^(β - 2) covers six orders of magnitude at β = 0 or
    4, and a few levels decide the loss.

    Three means:

    * "molecule": over the pairs of each molecule, and then over molecules that have pairs.
    * "pair": over all pairs, so that a molecule of n atoms weighs like n².
    * "sum": sum over the pairs of a molecule, mean over molecules that have pairs. It is released so.

    Args:
        anneal_power: Exponent β.
        reduce: "molecule", "pair" or "sum". Default: "molecule", or "sum" `as_released`.
        as_released: Divide a "sum" by the number of molecules up to the last one that has pairs. A lone atom then
            counts as a molecule of loss 0 in the middle of a batch, and does not count at its end.

    Example:
        >>> loss, molecule, scale = DistanceScoreLoss(), torch.tensor([0, 0, 1]), torch.tensor([0.1, 1.0])
        >>> loss(torch.zeros(3), torch.tensor([1.0, 1.0, 2.0]), scale, molecule)
        tensor(1.2500)
    """

    def __init__(
        self,
        anneal_power: float = 2.0,
        reduce: Literal["molecule", "pair", "sum"] | None = None,
        *,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        check_choice("reduce", reduce, ("molecule", "pair", "sum", None))
        self.anneal_power = anneal_power
        self.reduce = reduce or ("sum" if as_released else "molecule")
        self.as_released = as_released

    def forward(
        self,
        predicted: Float[Tensor, " pairs"],
        target: Float[Tensor, " pairs"],
        noise_scale: Float[Tensor, " molecules"],
        molecule: Int[Tensor, " pairs"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare scores.

        Args:
            predicted: Scores in units of 1/σ, (P,).
            target: True scores in the same unit, (P,).
            noise_scale: σ of each molecule in Å, (B,).
            molecule: Molecule of each pair, (P,), sorted, or None for one molecule.

        Returns:
            The loss, a scalar, 0 without pairs.
        """
        check_tensors(predicted=predicted, target=target, noise_scale=noise_scale)
        if molecule is None:
            molecule = torch.zeros(target.shape, dtype=torch.int64, device=target.device)
        check_tensor("molecule", molecule)
        scale = noise_scale.index_select(0, molecule)
        loss = 0.5 * error_of(predicted, target).square() * scale ** (self.anneal_power - 2)
        if self.reduce == "pair":
            return self.mean(loss.sum(), loss.shape[0])
        num_molecules = noise_scale.shape[0]
        pairs = scatter(torch.ones_like(loss), molecule, dim=0, dim_size=num_molecules, reduce="sum")
        if self.reduce == "molecule":
            sums = scatter(loss, molecule, dim=0, dim_size=num_molecules, reduce="sum")
            return self.mean((sums / pairs.clamp(min=1)).sum(), pairs.count_nonzero())
        if self.as_released:
            numbers = torch.arange(1, num_molecules + 1, device=pairs.device)
            return self.mean(loss.sum(), torch.where(pairs > 0, numbers, 0).max())
        return self.mean(loss.sum(), pairs.count_nonzero())
