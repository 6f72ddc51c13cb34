"""Normal distributions, and those of an ensemble."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from molspectra.uncertainty.distribution import Distribution


@dataclass(frozen=True, eq=False, repr=False)
class Normal(Distribution):
    """Normal distribution of each value.

    Example:
        >>> Normal(torch.zeros(1), torch.ones(1)).cdf(torch.tensor([1.96]))
        tensor([0.9750])
    """

    loc: Float[Tensor, "*shape"]
    """Mean, in units of the property."""
    scale: Float[Tensor, "*shape"]
    """Standard deviation, in units of the property."""

    @property
    def mean(self) -> Float[Tensor, "*shape"]:
        """Mean, in units of the property."""
        return self.loc

    @property
    def std(self) -> Float[Tensor, "*shape"]:
        """Standard deviation, in units of the property."""
        return self.scale

    @torch.no_grad()
    def cdf(self, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the probability of at most `value`. A standard deviation of 0 gives 0, 1/2 at the mean, or 1."""
        offset, wide = value - self.loc, self.scale > 0
        step = torch.sign(offset) / 2 + 0.5
        return torch.where(wide, torch.special.ndtr(offset / torch.where(wide, self.scale, 1.0)), step)

    def only(self, known: Bool[Tensor, "*shape"]) -> "Normal":
        """Return mean 0 and standard deviation 1 where `known` is False."""
        return Normal(torch.where(known, self.loc, 0.0), torch.where(known, self.scale, 1.0))


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Distribution):
    """Predictions of several members, taken as samples of a normal distribution.

    The mean over members is usually better than a member. Their spread is the epistemic uncertainty: it grows where
    training data are few, and holds no noise of the labels. Members that share an encoder differ less than those that
    share nothing, so check it by :func:`calibration`.

    Example:
        >>> first, second = torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [5.0]])
        >>> Ensemble(torch.stack([first, second])).std.tolist()  # of two models that were trained apart
        [[0.0], [1.4142135381698608]]
    """

    members: Float[Tensor, "members *shape"]
    """Prediction of each member, in units of the property."""

    @property
    def mean(self) -> Float[Tensor, "*shape"]:
        """Mean over the members."""
        return self.members.mean(dim=0)

    @property
    def std(self) -> Float[Tensor, "*shape"]:
        """Standard deviation over the members, with M - 1 degrees of freedom."""
        return self.members.std(dim=0)

    def cdf(self, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the probability of at most `value` by the normal distribution of mean and spread."""
        return Normal(self.mean.detach(), self.std.detach()).cdf(value)

    def only(self, known: Bool[Tensor, "*shape"]) -> "Ensemble":
        """Return members of 0 where `known` is False."""
        return Ensemble(torch.where(known, self.members, 0.0))

    @classmethod
    def join(cls, parts: "list[Distribution]", dim: int = 0) -> "Distribution":
        """Join ensembles of several batches along a dimension of their mean."""
        return super().join(parts, dim + 1)
