"""Scaling of intensities before an encoder, and its inverse."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_tensor, values_are_free


class Log10Scaling(Configurable, nn.Module):
    """s → log10(1 + s / unit), with unit 1 the scaling of MolSpectra (Wang et al., ICLR 2025, arXiv:2502.16284).

    The unit is the intensity at which the scale turns from linear to logarithmic. Choose it well below the peaks of the
    spectra, or nearly all of them stay in the linear part.

    Spectra span orders of magnitude: in a logarithm weak bands count beside strong ones. Computed as ln(1 + s) / ln 10
    with `log1p`, which keeps the digits of small s that the released log10(s + 1) rounds away. A missing spectrum (NaN)
    stays NaN.

    Args:
        unit: The intensity that counts as 1, in the units of the spectrum.

    Raises:
        ValueError: `unit` is not positive and finite, or (checked for CPU tensors) an intensity is negative.

    Example:
        >>> Log10Scaling()(torch.tensor([0.0, 9.0, 99.0]))
        tensor([0., 1., 2.])
    """

    def __init__(self, unit: float = 1.0) -> None:
        super().__init__()
        self.unit = _checked_unit(unit)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Scale intensities `x` ≥ 0, of any shape."""
        check_tensor("x", x)
        _refuse_negative(x)
        # The 1 keeps empty regions at 0, where a plain logarithm would diverge.
        return torch.log1p(x / self.unit) / math.log(10)

    def inverse(self, y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the intensities of scaled ones: unit · (10^y - 1)."""
        check_tensor("y", y)
        return self.unit * torch.expm1(y * math.log(10))


class ArcsinhScaling(Configurable, nn.Module):
    """s → arcsinh(s / 2 unit) / ln 10, for measured spectra that are negative in part.

    Far above the unit it equals log10(s / unit), as :class:`Log10Scaling` does. It is linear around zero and odd, so
    that noise and a baseline of either sign stay what they are. A missing spectrum (NaN) stays NaN.

    Args:
        unit: The intensity at which the scale turns from linear to logarithmic, in the units of the spectrum.

    Raises:
        ValueError: `unit` is not positive and finite.

    Example:
        >>> ArcsinhScaling()(torch.tensor([-1000.0, 0.0, 1000.0])).round(decimals=3)
        tensor([-3.,  0.,  3.])
    """

    def __init__(self, unit: float = 1.0) -> None:
        super().__init__()
        self.unit = _checked_unit(unit)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Scale intensities `x` of either sign, of any shape."""
        check_tensor("x", x)
        return torch.asinh(x / (2 * self.unit)) / math.log(10)

    def inverse(self, y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the intensities of scaled ones: 2 unit · sinh(y ln 10)."""
        check_tensor("y", y)
        return 2 * self.unit * torch.sinh(y * math.log(10))


class LogScaling(Configurable, nn.Module):
    """s → ln(1 + s). A missing spectrum (NaN) stays NaN.

    Raises:
        ValueError: (checked for CPU tensors) an intensity is negative.

    Example:
        >>> LogScaling()(torch.tensor([0.0, math.e - 1]))
        tensor([0., 1.])
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Scale intensities `x` ≥ 0, of any shape."""
        check_tensor("x", x)
        _refuse_negative(x)
        return torch.log1p(x)

    def inverse(self, y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the intensities of scaled ones: e^y - 1."""
        check_tensor("y", y)
        return torch.expm1(y)


class MinMaxScaling(Configurable, nn.Module):
    """s → (s - minimum + eps) / (maximum - minimum + eps), as in the released MolSpectra code.

    Args:
        minimum: Smallest intensity of the training data.
        maximum: Largest intensity of the training data.
        eps: Keeps the result positive, and the divisor away from zero.

    Raises:
        ValueError: an argument is not finite, maximum < minimum, or maximum - minimum + eps is not positive.

    Example:
        >>> MinMaxScaling(minimum=0.0, maximum=4.0)(torch.tensor([0.0, 1.0, 4.0]))
        tensor([2.5000e-09, 2.5000e-01, 1.0000e+00])
    """

    def __init__(self, minimum: float, maximum: float, eps: float = 1e-8) -> None:
        super().__init__()
        _refuse_infinite(minimum=minimum, maximum=maximum, eps=eps)
        if maximum < minimum or maximum - minimum + eps <= 0:
            raise ValueError(
                f"maximum must not be below minimum, and maximum - minimum + eps must be positive; got "
                f"minimum={minimum}, maximum={maximum}, eps={eps}. Take them over the training spectra."
            )
        self.minimum, self.maximum, self.eps = float(minimum), float(maximum), float(eps)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Scale intensities `x`, of any shape."""
        check_tensor("x", x)
        # eps in both parts, as released: the smallest intensity does not become exactly 0.
        return (x - self.minimum + self.eps) / (self.maximum - self.minimum + self.eps)

    def inverse(self, y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the intensities of scaled ones."""
        check_tensor("y", y)
        return y * (self.maximum - self.minimum + self.eps) + self.minimum - self.eps


class StandardScaling(Configurable, nn.Module):
    """s → (s - mean) / std.

    Args:
        mean: Mean intensity of the training data.
        std: Standard deviation of the intensities of the training data.

    Raises:
        ValueError: an argument is not finite, or `std` is not positive.

    Example:
        >>> StandardScaling(mean=2.0, std=4.0)(torch.tensor([0.0, 2.0, 6.0]))
        tensor([-0.5000,  0.0000,  1.0000])
    """

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        _refuse_infinite(mean=mean, std=std)
        if std <= 0:
            raise ValueError(f"std must be positive; got {std}. For constant spectra use IdentityScaling.")
        self.mean, self.std = float(mean), float(std)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Scale intensities `x`, of any shape."""
        check_tensor("x", x)
        return (x - self.mean) / self.std

    def inverse(self, y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the intensities of scaled ones."""
        check_tensor("y", y)
        return y * self.std + self.mean


class IdentityScaling(Configurable, nn.Module):
    """s → s: no scaling.

    Example:
        >>> IdentityScaling()(torch.tensor([0.0, 9.0]))
        tensor([0., 9.])
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return `x`."""
        check_tensor("x", x)
        return x

    def inverse(self, y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return `y`."""
        check_tensor("y", y)
        return y


def _refuse_negative(x: Tensor) -> None:
    """Refuse intensities below 0, of which the logarithm may not exist."""
    # Such as those of a drifting baseline. Clamped without a word, they would pass for regions without absorption.
    if values_are_free(x) and bool((negative := x < 0).any()):
        raise ValueError(
            f"Intensities must not be negative for a logarithmic scaling; got {int(negative.sum())} negative values, "
            f"the lowest {float(x[negative].min()):g}. Correct the baseline, clamp with x.clamp(min=0), or, for "
            "spectra of both signs, use ArcsinhScaling, PerSpectrumScaling or StandardScaling."
        )


def _checked_unit(unit: float) -> float:
    """Return the intensity that counts as 1.

    Raises:
        ValueError: it is not positive and finite.
    """
    _refuse_infinite(unit=unit)
    if unit <= 0:
        raise ValueError(f"unit must be positive; got {unit}.")
    return float(unit)


def _refuse_infinite(**values: float) -> None:
    """Refuse statistics that are not finite, by their name."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite; got {value}. Leave missing spectra (NaN) out of the statistics.")
