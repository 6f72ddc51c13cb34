"""Comparison of a predicted distribution of positions with the position of the masked atom."""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter

from molspectra._validation import check_choice, check_tensor
from molspectra.distributed import sum_over_processes
from molspectra.layers.position_distribution import PositionDistribution
from molspectra.objectives.objective import Objective


class PositionDistributionLoss(Objective):
    """KL divergence of predicted from true directions and distances (EMPP, An et al., ICLR 2025, arXiv:2502.08209).

    For the unit vector u and the length r of a pair's displacement, the true distributions are peaks of finite width:

        p(p) = softmax_p[Σ_l (2l + 1)/4π P_l(u · p) / T + log area(p)]   on the prediction's grid, l = 0 … l_max
        p(r) = exp(-½ ((r_k - r)/σ)²) / Σ                                on the prediction's distances r_k

    A displacement of 0 (coincident atoms) has no direction, so its label is uniform over the sphere. Beyond the last
    distance, the label peaks at the last one. Labels carry no gradient. The loss runs in float32 or better, in
    logarithms throughout.

    Differences from the released code, undone by `as_released=True`:

    * Its label of distances is softmax_k[exp(-0.3 ((r_k - r)/σ)²)], a softmax of numbers between 0 and 1. It is nearly
      uniform: the mean of the label of 0.96 Å is 2.5 Å.
    * It averages over all pairs of a batch, so atoms with many neighbors weigh more. The paper averages over masked
      atoms.
    * It adds up the losses of copies of a molecule. The paper averages them.

    The prediction decides the weights of points: see :class:`~molspectra.heads.PositionDistributionHead`. Further
    losses of the public code, which its training scripts do not use, are not reproduced.

    Args:
        temperature: Temperature T of the label.
        radius_std: Width σ of the label of distances in Å.
        l_max: Highest degree in the label.
        reduce: "pair" averages over pairs, "molecule" over the pairs of each molecule and then over molecules with
            pairs. Default: "molecule", or "pair" if `as_released`.
        direction_weight: Weight of the divergence of directions.
        radius_weight: Weight of the divergence of distances.
        as_released: Reproduce the released arithmetic.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> head, loss = ms.heads.PositionDistributionHead(channels=8), PositionDistributionLoss()
        >>> atoms = ms.encoders.AtomFeatures(torch.randn(5, 8), torch.randn(5, 3, 8))
        >>> loss(head(atoms), torch.randn(5, 3)).backward()
    """

    def __init__(
        self,
        temperature: float = 0.1,
        radius_std: float = 0.5,
        l_max: int = 2,
        reduce: Literal["pair", "molecule"] | None = None,
        *,
        direction_weight: float = 1.0,
        radius_weight: float = 1.0,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        if not temperature > 0 or not radius_std > 0:
            raise ValueError(f"temperature and radius_std (Å) must be positive; got {temperature} and {radius_std}.")
        if l_max < 1:
            raise ValueError(f"l_max must be at least 1, as scalars have no direction; got {l_max}.")
        check_choice("reduce", reduce, ("pair", "molecule", None))
        self.temperature = temperature
        self.radius_std = radius_std
        self.l_max = l_max
        self.reduce = reduce or ("pair" if as_released else "molecule")
        self.direction_weight = direction_weight
        self.radius_weight = radius_weight
        self.as_released = as_released

    def forward(
        self,
        predicted: PositionDistribution,
        displacement: Float[Tensor, "pairs 3"],
        molecule: Int[Tensor, " pairs"] | None = None,
        num_molecules: int | None = None,
        num_copies: int = 1,
    ) -> Float[Tensor, ""]:
        """Compare predicted distributions with true displacements.

        Args:
            predicted: One distribution per pair.
            displacement: Position of the masked atom minus the position of its neighbor in Å, (E, 3).
            molecule: Masked copy of a molecule that each pair belongs to, (E,); None for one molecule.
            num_molecules: Number of masked copies of molecules. If None, it is read from `molecule`, which waits for
                the device.
            num_copies: Number of copies of the batch, one after the other, whose losses are averaged.

        Returns:
            The loss, a scalar, 0 without pairs.

        Raises:
            ValueError: The numbers of distributions and displacements differ, or `num_molecules` is missing.
        """
        if not isinstance(predicted, PositionDistribution):
            raise TypeError(
                "predicted must be a PositionDistribution, as heads.PositionDistributionHead returns it; got a "
                f"{type(predicted).__name__}. Call loss(head(atoms), displacement)."
            )
        check_tensor("displacement", displacement)
        if molecule is not None:
            check_tensor("molecule", molecule)
        if displacement.shape[0] != predicted.direction.shape[0]:
            raise ValueError(
                f"displacement must have a row for each of {predicted.direction.shape[0]} predicted distributions; got "
                f"{tuple(displacement.shape)}. Predict from the atoms of the same pairs, atoms.select(pairs.atom)."
            )
        loss = self.of_pairs(predicted, displacement)
        if molecule is None:
            return self.mean(loss.sum(), loss.shape[0])
        if self.reduce == "pair":
            return self._mean_of_copies(loss, molecule, num_molecules, num_copies)
        # Every masked atom weighs the same, whatever the number of its neighbors.
        sums = scatter(loss, molecule, dim=0, dim_size=num_molecules, reduce="sum")
        counts = scatter(torch.ones_like(loss), molecule, dim=0, dim_size=num_molecules, reduce="sum")
        mean = self.mean((sums / counts.clamp(min=1)).sum(), counts.count_nonzero())
        return mean * num_copies if self.as_released else mean

    def _mean_of_copies(
        self, loss: Tensor, molecule: Tensor, num_molecules: int | None, num_copies: int
    ) -> Float[Tensor, ""]:
        """Average over the pairs of each copy of the batch, then over copies, which the release adds up."""
        if num_copies == 1:
            return self.mean(loss.sum(), loss.shape[0])
        if num_molecules is None:
            raise ValueError("num_molecules is needed to tell copies apart; got None. Pass the number of molecules.")
        # Masked molecules are numbered copy after copy.
        copy = molecule // (num_molecules // num_copies)
        sums, counts = loss.new_zeros(2, num_copies).index_add(1, copy, torch.stack([loss, torch.ones_like(loss)]))
        total = self.mean(sums, counts).sum()
        if self.as_released:
            return total
        # A copy without pairs in any process does not count.
        counts = sum_over_processes(counts) if self.training else counts
        return total / counts.count_nonzero().clamp(min=1)

    def of_pairs(
        self, predicted: PositionDistribution, displacement: Float[Tensor, "pairs 3"]
    ) -> Float[Tensor, " pairs"]:
        """Compute the weighted sum of both divergences, (E,)."""
        direction, radius = self.per_pair(predicted, displacement)
        return self.direction_weight * direction + self.radius_weight * radius

    def per_pair(
        self, predicted: PositionDistribution, displacement: Float[Tensor, "pairs 3"]
    ) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
        """Compute the divergences of direction and distance of each pair, (E,) each, in nats."""
        with torch.autocast(displacement.device.type, enabled=False), torch.no_grad():
            displacement = displacement.to(predicted.direction.dtype)
            distance = torch.linalg.vector_norm(displacement, dim=1, keepdim=True)
            # u · p for every point p of the grid. A displacement of 0 has no direction, and gets equal logits.
            cosine = displacement @ predicted.points.T / torch.where(distance > 0, distance, 1.0)
            logits = legendre_delta(cosine, self.l_max) / self.temperature
            direction = torch.where(distance > 0, logits, 0.0) + predicted.log_weights
            radius = self.radius_logits(predicted.radii - distance)
        return _divergence(direction, predicted.direction), _divergence(radius, predicted.radius)

    def radius_logits(self, deviation: Float[Tensor, "pairs radii"]) -> Float[Tensor, "pairs radii"]:
        """Map deviations of the distances on the grid from the true one, in Å, to logits of the label."""
        # A Gaussian is the softmax of its exponent. The release takes the exponential twice.
        square = (deviation / self.radius_std).square()
        return torch.exp(-0.3 * square) if self.as_released else -0.5 * square


def legendre_delta(cosine: Float[Tensor, "pairs points"], l_max: int) -> Float[Tensor, "pairs points"]:
    """Compute Σ_l (2l + 1)/4π P_l(cos), the delta function on the sphere up to degree l_max.

    Equal to Σ_lm Y_lm(u) Y_lm(p) by the addition theorem.
    """
    # Bonnet's recursion, (l + 1) P_{l+1} = (2l + 1) x P_l - l P_{l-1}, from P_0 = 1 and P_1 = x.
    before, legendre = torch.ones_like(cosine), cosine
    total = before + 3 * legendre
    for l in range(1, l_max):
        before, legendre = legendre, ((2 * l + 1) * cosine * legendre - l * before) / (l + 1)
        total = total + (2 * l + 3) * legendre
    return total / (4 * math.pi)


def _divergence(logits: Tensor, predicted: Tensor) -> Float[Tensor, " pairs"]:
    """Compute KL(softmax(logits) ‖ exp(predicted)) of each row."""
    # In logarithms, which do not underflow where the label is far from its peak.
    label = logits.log_softmax(dim=1)
    return (label.exp() * (label - predicted)).sum(dim=1)
