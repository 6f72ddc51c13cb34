"""Weighted sum of losses."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_tensors_by_kind


class WeightedSum(Configurable, nn.Module):
    """Sum of named losses, {"loss": Σ w_k L_k}, reported together with its parts.

    Parts of weight 0 are reported but not added, so that they may be infinite or NaN.

    Args:
        weights: Weight w_k of each part.

    Raises:
        ValueError: A weight is not finite.

    Example:
        >>> WeightedSum({"a": 1.0, "b": 0.5})({"a": torch.tensor(1.0), "b": torch.tensor(4.0)})["loss"]
        tensor(3.)
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        if infinite := {name: weight for name, weight in weights.items() if not math.isfinite(weight)}:
            raise ValueError(f"weights must be finite; got {infinite}.")
        self.weights = dict(weights)

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the named scalars together with their weighted sum, "loss".

        Raises:
            ValueError: the names differ from those of the weights.
        """
        check_tensors_by_kind("losses", losses)
        if set(losses) != set(self.weights):
            raise ValueError(f"losses must be named {sorted(self.weights)}; got {sorted(losses)}. Set weights for all.")
        total = torch.zeros_like(next(iter(losses.values())))
        for name, weight in self.weights.items():
            if weight != 0:  # 0 · NaN would be NaN
                total = total + weight * losses[name]
        return {"loss": total, **losses}
