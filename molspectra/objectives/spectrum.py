"""Comparison of predicted spectra with given ones."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from molspectra._validation import check_spectra, check_tensors_by_kind
from molspectra.distributed import sum_over_processes, world_size
from molspectra.layers.precision import at_least_float32
from molspectra.objectives.objective import Objective


class SpectrumLoss(Objective):
    """Squared error of spectra relative to the square of each spectrum, averaged over molecules and summed over kinds.

        L = Σ_kind mean_m |p_m - t_m|² / (|t_m|² + floor · mean_m |t_m|²)

    Intensities differ by orders of magnitude between molecules, and units differ between kinds. In units of its own
    square every spectrum counts alike, strong or weak, and predicting zero costs about 1 for each kind. The floor, in
    units of the mean square of the batch, bounds the weight of spectra that are nearly or completely zero (the infrared
    spectrum of O2). With a large floor the loss is, up to a factor, the mean squared error.

    Missing spectra, which are rows of NaN, and kinds that the target lacks are left out. In a spectrum with gaps, some
    samples of NaN, |·|² is the mean over the measured samples.

    Args:
        floor: Floor in units of the mean square of the batch.

    Raises:
        ValueError: the floor is not positive and finite.

    Example:
        >>> target = torch.tensor([[0.0, 1.0, 2.0], [torch.nan] * 3])
        >>> SpectrumLoss(floor=0.25)({"ir": torch.zeros(2, 3)}, {"ir": target})
        tensor(0.8000)
    """

    def __init__(self, floor: float = 0.1) -> None:
        super().__init__()
        if not 0 < floor < float("inf"):
            raise ValueError(f"floor must be positive and finite (in units of the mean square); got {floor}.")
        self.floor = float(floor)

    def forward(self, predicted: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Compare predicted spectra with the given ones.

        Args:
            predicted: Kind → intensities (B, L).
            target: Kind → intensities (B, L), of some of these kinds. A row of NaN is a missing spectrum, some
                samples of NaN a gap.

        Returns:
            The loss, a scalar, or 0 if all spectra are missing.

        Raises:
            ValueError: the target has no kinds, a kind that was not predicted or has another shape, or (checked for CPU
                tensors) an infinite value.
        """
        check_tensors_by_kind("predicted", predicted)
        check_tensors_by_kind("target", target)
        check_spectra(target, {kind: spectrum.shape[1] for kind, spectrum in predicted.items()}, partial=True)
        errors = [self._of_kind(kind, predicted[kind], target[kind]) for kind in target]
        return torch.stack(errors).sum()

    def _of_kind(self, kind: str, predicted: Tensor, target: Tensor) -> Tensor:
        if predicted.shape != target.shape:
            raise ValueError(
                f"predicted[{kind!r}] must have shape {tuple(target.shape)}, as the target has; got "
                f"{tuple(predicted.shape)}. Predict on the axis of the target."
            )
        measured = ~target.isnan()
        # Fill before taking the difference: masking a NaN afterwards would still leave its gradient NaN.
        predicted = at_least_float32(predicted)
        target = torch.where(measured, target, 0.0).to(predicted.dtype)
        # Scale to a largest value of 1: squares in small units, such as those of cross-sections, underflow in float32.
        largest = target.abs().amax()
        largest = torch.where(largest > 0, largest, 1.0)
        predicted, target = predicted / largest, target / largest
        error = self._mean(torch.where(measured, predicted - target, 0.0).square(), measured)
        square = self._mean(target.square(), measured)
        count = measured.any(dim=1).sum()
        unit = square + self.floor * self._mean_of_batch(square.sum(), count, largest)
        # The unit is 0 for missing spectra, whose error is 0, and if all spectra are 0, when any unit will do.
        return self.mean((error / torch.where(unit > 0, unit, 1.0)).sum(), count)

    def _mean(self, squares: Tensor, measured: Tensor) -> Tensor:
        """Return the mean of each row over its measured samples, 0 without any."""
        # A factor of exactly 1 for whole spectra.
        return squares.mean(dim=1) * (squares.shape[1] / measured.sum(dim=1).clamp(min=1).to(squares.dtype))

    def _mean_of_batch(self, squares: Tensor, count: Tensor, largest: Tensor) -> Tensor:
        """Return the mean square over all processes, in units of the largest value of this process."""
        if not self.training or world_size() == 1:
            return squares / count.clamp(min=1)
        # Processes scale by values of their own: exchange sums in the common unit, in float64, which holds them.
        unit = largest.double().square()
        total, number = sum_over_processes(torch.stack([squares * unit, count.double()]))
        return (total / number.clamp(min=1) / unit).to(squares.dtype)
