"""Errors of a regression on molecules with labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from molspectra._repr import fields_repr


@dataclass(frozen=True, eq=False)
class Errors:
    """Predictions and labels of all molecules or atoms with a label, and the errors of the former."""

    predicted: Tensor
    """Predictions (K,), or (K, 3) of vectors, in the order of the batches."""
    target: Tensor
    """Labels, in the shape of the predictions."""

    @property
    def mae(self) -> float:
        """Mean absolute error, in units of the label."""
        return (self.predicted - self.target).abs().mean().item()

    @property
    def rmse(self) -> float:
        """Root of the mean squared error, in units of the label."""
        return (self.predicted - self.target).square().mean().sqrt().item()

    @property
    def r2(self) -> float:
        """Share of the variance of the labels that the predictions explain, at most 1; NaN if the labels are equal."""
        around_mean = (self.target - self.target.mean(dim=0)).square().sum()
        if around_mean == 0:
            return float("nan")
        return (1 - (self.predicted - self.target).square().sum() / around_mean).item()

    def __len__(self) -> int:
        return len(self.target)

    def __repr__(self) -> str:
        return f"{fields_repr(self)[:-1]}; {len(self)} labels, mae {self.mae:.4g}, rmse {self.rmse:.4g})"


def join_errors(parts: list[tuple[Tensor, Tensor]]) -> Errors:
    """Join predictions and labels of batches, in float64 on the CPU, without rows that have no label.

    Raises:
        ValueError: There is no label.
    """
    kept = []
    for predicted, target in parts:
        known = ~target.flatten(1).isnan().any(dim=1)
        kept.append((predicted[known].double().cpu(), target[known].double().cpu()))
    if not sum(len(target) for _, target in kept):
        raise ValueError("batches must hold at least one label; got none. Check that labels are not NaN throughout.")
    predicted, target = (torch.cat(column) for column in zip(*kept, strict=True))
    return Errors(predicted.squeeze(-1), target.squeeze(-1))
