"""Comparing predicted spectra with given ones."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_spectra
from molspectra.distributed import global_mean, sum_over_processes, world_size
from molspectra.layers.precision import at_least_float32


class SpectrumLoss(Configurable, nn.Module):
    """Σ_kind mean_m |p_m - t_m|² / (|t_m|² + floor · mean_m |t_m|²): the squared error in units of the spectrum's own.

    Intensities differ by orders of magnitude from molecule to molecule, and their units from kind to kind. In units of
    its own square, every spectrum counts alike, strong or weak, and predicting zero costs about 1 of each kind; the
    floor, in units of the mean square of the batch, keeps spectra that are nearly or wholly zero (infrared of O2) from
    counting without bound. With a large floor it is, up to a factor, the plain mean squared error.

    Missing spectra, rows of NaN, and kinds that the target does not have, are left out.

    Args:
        floor: See above; 0.1 by default.

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
            target: Kind → intensities (B, L), of some of these kinds; a row of NaN is a missing spectrum.

        Returns:
            The loss, a scalar; 0 if all spectra are missing.

        Raises:
            ValueError: the target has no kinds, one that was not predicted or of another shape, or (checked for CPU
                tensors) a row mixes NaN or infinite values with finite ones.
        """
        check_spectra(target, {kind: spectrum.shape[1] for kind, spectrum in predicted.items()})
        errors = [self._of_kind(kind, predicted[kind], target[kind]) for kind in target]
        return torch.stack(errors).sum()

    def _of_kind(self, kind: str, predicted: Tensor, target: Tensor) -> Tensor:
        if predicted.shape != target.shape:
            raise ValueError(
                f"predicted[{kind!r}] must have shape {tuple(target.shape)}, as the target has; got "
                f"{tuple(predicted.shape)}."
            )
        missing = target.isnan().any(dim=1, keepdim=True)
        # Filled ahead of the difference: a NaN that is masked only afterwards still has the gradient NaN.
        predicted = at_least_float32(predicted)
        target = target.masked_fill(missing, 0.0).to(predicted.dtype)
        # In any units: those of cross-sections, say, have squares that float32 cannot hold.
        largest = target.abs().amax()
        largest = torch.where(largest > 0, largest, 1.0)
        predicted, target = predicted / largest, target / largest
        error = (predicted - target).masked_fill(missing, 0.0).square().mean(dim=1)
        square = target.square().mean(dim=1)
        count = (~missing).sum()
        unit = square + self.floor * self._mean_of_batch(square.sum(), count, largest)
        # Of nothing but zeros the unit is arbitrary, of missing spectra it does not matter.
        return global_mean((error / torch.where(unit > 0, unit, 1.0)).sum(), count, self.training)

    def _mean_of_batch(self, squares: Tensor, count: Tensor, largest: Tensor) -> Tensor:
        """The mean square over all processes, in units of this one's largest value."""
        if not self.training or world_size() == 1:
            return squares / count.clamp(min=1)
        unit = largest.double().square()
        total, number = sum_over_processes(torch.stack([squares * unit, count.double()]))
        return (total / number.clamp(min=1) / unit).to(squares.dtype)
