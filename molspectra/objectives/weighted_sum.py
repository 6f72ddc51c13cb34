"""Adding losses up."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from molspectra._config import Configurable


class WeightedSum(Configurable, nn.Module):
    """{"loss": Σ w_k L_k, and every part by its name}.

    Parts of weight 0 are reported but not added, so that a part that is not finite does no harm there.

    Args:
        weights: Weight of each part.

    Example:
        >>> WeightedSum({"a": 1.0, "b": 0.5})({"a": torch.tensor(1.0), "b": torch.tensor(4.0)})["loss"]
        tensor(3.)
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Named scalars → the same and their weighted sum, "loss".

        Raises:
            ValueError: the names are not those of the weights.
        """
        if set(losses) != set(self.weights):
            raise ValueError(f"losses must be named {sorted(self.weights)}; got {sorted(losses)}.")
        total = torch.zeros_like(next(iter(losses.values())))
        for name, weight in self.weights.items():
            if weight != 0:
                total = total + weight * losses[name]
        return {"loss": total, **losses}
