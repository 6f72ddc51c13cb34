"""Predictions with a distribution: a mean, a standard deviation, and the probability below a value."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from molspectra._repr import fields_repr


class Distribution(ABC):
    """Prediction of a distribution for each value. Subclasses are dataclasses of tensors."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """Mean of each value, in units of the property."""

    @property
    @abstractmethod
    def std(self) -> Tensor:
        """Standard deviation of each value, in units of the property."""

    @abstractmethod
    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of at most `value`, without a gradient."""

    @abstractmethod
    def only(self, known: Tensor) -> "Distribution":
        """Return the distribution with harmless constants where `known` is False, so that no gradient passes there."""

    def map(self, function: Callable[[Tensor], Tensor]) -> "Distribution":
        """Apply a function to every tensor."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return type(self)(*(function(getattr(self, field.name)) for field in fields))

    @classmethod
    def join(cls, parts: "list[Distribution]", dim: int = 0) -> "Distribution":
        """Join distributions of several batches along a dimension of their mean."""
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        return cls(*(torch.cat([getattr(part, name) for part in parts], dim=dim) for name in names))

    def __repr__(self) -> str:
        return fields_repr(self)


def mean_of(predicted: "Tensor | Distribution") -> Tensor:
    """Return the mean of a distribution, and a tensor as it is."""
    return predicted.mean if isinstance(predicted, Distribution) else predicted
