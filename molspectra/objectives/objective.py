"""Parts that losses share: the base class, the mean over processes, and the error of a prediction."""

from collections.abc import Callable

from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_same_shape
from molspectra.distributed import global_mean
from molspectra.layers.precision import at_least_float32


class Objective(Configurable, nn.Module):
    """Base of losses, which are called `objective(predicted, target, ...)` and return a scalar tensor.

    In training mode a mean runs over the entries of all processes, and each process returns its share
    (:mod:`molspectra.distributed`). In evaluation mode it runs over the entries of this process.
    """

    def mean(self, total: Tensor, count: Tensor | int) -> Tensor:
        """Divide a sum over the entries of this process by the count of entries; 0 if the count is 0."""
        return global_mean(total, count, self.training)


def error_of(predicted: Tensor, target: Tensor, normalize: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return predicted - target, upcast to float32 at least, so that autocast does not round the loss.

    Args:
        predicted: Prediction of any shape.
        target: Target of the same shape.
        normalize: Function to apply to the target first, or None.

    Raises:
        ValueError: the shapes differ.
    """
    # Before the target enters the statistics of a normalizer, which a failed step must not change.
    check_same_shape(predicted, target)
    target = at_least_float32(target if normalize is None else normalize(target))
    return predicted.to(target.dtype) - target
