"""Comparison of predicted lines with computed ones, in whatever order they come."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from molspectra.distributed import sum_over_processes
from molspectra.layers.precision import at_least_float32
from molspectra.objectives.objective import Objective
from molspectra.spectra.sticks import Sticks


class StickLoss(Objective):
    """Distance by which lines must be moved, and error of their total intensity, averaged over molecules.

        L = mean_m [ W(n̂, n) / width + Σ_kind ( W(Î, I) / width + |Σ Î - Σ I| / (Σ I + floor · mean Σ I) ) ]

    W is the 1D Wasserstein distance ∫ |F̂ - F| dx of the shares of lines, or of intensity, below x. For equal numbers
    of lines, W(n̂, n) is the mean distance of the cheapest assignment of predicted to given lines, found by sorting in
    place of the Hungarian algorithm. It compares dark lines as well. W(Î, I) compares bands by their intensity. Both
    hold for unequal numbers of lines, need no order, and have the gradients of a matching: ±1 per line moved.

    Intensities of NaN are unknown: the kind is left out for that molecule, as it is if all given intensities are 0.

    Args:
        width: Distance that counts as 1, in the unit of the positions: about the width of the bands to be told apart.
        floor: Floor of the total intensity, in units of its mean over the batch.

    Raises:
        ValueError: `width` or `floor` is not positive and finite.

    Example:
        >>> index, none = torch.zeros(2, dtype=torch.int64), {}
        >>> predicted = ms.spectra.Sticks(torch.tensor([30.0, 10.0]), none, index, 1)
        >>> StickLoss(width=1.0)(predicted, ms.spectra.Sticks(torch.tensor([12.0, 31.0]), none, index, 1))
        tensor(1.5000)
    """

    def __init__(self, width: float, floor: float = 0.1) -> None:
        super().__init__()
        for name, value in (("width", width), ("floor", floor)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be positive and finite; got {value}.")
        self.width = float(width)
        self.floor = float(floor)

    def forward(self, predicted: Sticks, target: Sticks) -> Float[Tensor, ""]:
        """Compare lines of the same molecules.

        Args:
            predicted: Predicted lines.
            target: Given lines, of some of the kinds.

        Returns:
            The loss, a scalar, 0 without any given line.

        Raises:
            ValueError: The numbers of molecules differ, or a kind was not predicted.
        """
        for name, lines in (("predicted", predicted), ("target", target)):
            if not isinstance(lines, Sticks):
                raise TypeError(
                    f"{name} must be Sticks, as StickHead.sticks returns them; got a {type(lines).__name__}. Make "
                    "spectra.Sticks(positions, intensities, molecule, num_molecules)."
                )
        if predicted.num_molecules != target.num_molecules:
            raise ValueError(
                f"predicted and target must be of the same molecules; got {predicted.num_molecules} and "
                f"{target.num_molecules}."
            )
        if unknown := set(target.intensities) - set(predicted.intensities):
            raise ValueError(f"target has the kinds {sorted(unknown)}, of which none was predicted.")
        ones = (torch.ones_like(sticks.positions) for sticks in (predicted, target))
        loss = self._distance(predicted, target, *ones)
        for kind, given in target.intensities.items():
            loss = loss + self._of_kind(predicted, target, predicted.intensities[kind], given)
        return loss

    def _of_kind(self, predicted: Sticks, target: Sticks, found: Tensor, given: Tensor) -> Tensor:
        found = at_least_float32(found)
        unknown = _sum(given.isnan().to(found.dtype), target) > 0
        given = torch.where(given.isnan(), 0.0, given).to(found.dtype)
        total = torch.where(unknown, 0.0, _sum(given, target))
        error = (_sum(found, predicted) - total).abs()
        floor = self.floor * self._mean_of_batch(total.sum(), (~unknown).sum())
        unit = total + floor
        relative = torch.where(unknown, 0.0, error / torch.where(unit > 0, unit, 1.0))
        known = torch.where(unknown[target.molecule], 0.0, given)
        return self._distance(predicted, target, found, known) + self.mean(relative.sum(), (~unknown).sum())

    def _mean_of_batch(self, total: Tensor, count: Tensor) -> Tensor:
        """Return the mean total intensity, in training over all processes."""
        sums = torch.stack([total.double(), count.double()])
        sums = sum_over_processes(sums) if self.training else sums
        return (sums[0] / sums[1].clamp(min=1)).to(total.dtype)

    def _distance(self, predicted: Sticks, target: Sticks, found: Tensor, given: Tensor) -> Tensor:
        """Return the mean Wasserstein distance over molecules that have weight in the target, in units of the width."""
        totals = _sum(found, predicted), _sum(given, target)
        compared = (totals[0] > 0) & (totals[1] > 0)
        shares = [
            torch.where(compared, 1 / torch.where(total > 0, total, 1.0), 0.0)[sticks.molecule] * weights
            for sticks, total, weights in zip((predicted, target), totals, (found, given), strict=True)
        ]
        positions = torch.cat([at_least_float32(predicted.positions), target.positions.to(predicted.positions.dtype)])
        index = torch.cat([predicted.molecule, target.molecule])
        distances = wasserstein(positions, torch.cat([shares[0], -shares[1]]), index, predicted.num_molecules)
        return self.mean(distances.sum() / self.width, compared.sum())


def wasserstein(
    positions: Float[Tensor, " lines"],
    shares: Float[Tensor, " lines"],
    index: Int[Tensor, " lines"],
    num_molecules: int,
) -> Float[Tensor, " molecules"]:
    """Return ∫ |F(x)| dx of each molecule, F the sum of the signed shares below x: the 1D Wasserstein distance.

    Args:
        positions: Position of each line of both spectra, (K,), in any order.
        shares: Share of the line in its spectrum, negative for the second spectrum, (K,).
        index: Molecule of each line, (K,).
        num_molecules: Number of molecules M.
    """
    # Sort by position, then stably by molecule. Shares of a molecule add up to 0, so one cumulative sum serves all.
    order = positions.detach().argsort()
    order = order[index[order].argsort(stable=True)]
    positions, index = positions[order], index[order]
    cumulative = shares[order].double().cumsum(0).to(shares.dtype)[:-1]
    same = index[1:] == index[:-1]
    pieces = torch.where(same, cumulative.abs() * (positions[1:] - positions[:-1]), 0.0)
    return positions.new_zeros(num_molecules).index_add(0, index[:-1], pieces)


def _sum(values: Tensor, sticks: Sticks) -> Tensor:
    """Sum values of lines over each molecule, (M,)."""
    return values.new_zeros(sticks.num_molecules).index_add(0, sticks.molecule, values)
