"""Scaling of each spectrum by a statistic of its own."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_choice, check_tensor, check_tensors


class PerSpectrumScaling(Configurable, nn.Module):
    """s → (s - offset) / scale, with offset and scale of each spectrum itself.

    Measured spectra differ in path length, concentration and detector gain, which this scaling removes. A spectrum may
    be negative in part, as below a drifting baseline. Samples that were not measured (NaN) stay NaN and do not count. A
    spectrum of zeros stays zero.

    Args:
        by: Statistic of the L intensities of a spectrum:

            - "max": the largest |s| becomes 1.
            - "area": the sum of |s| becomes 1.
            - "snv": the standard normal variate, mean 0 and standard deviation 1 (of L - 1 degrees of freedom). R. J.
              Barnes, M. S. Dhanoa and S. J. Lister, Appl. Spectrosc. 43, 772 (1989). A constant spectrum becomes zero.

    Raises:
        ValueError: `by` is unknown.

    Example:
        >>> PerSpectrumScaling("max")(torch.tensor([[1.0, -1.0, 4.0], [0.0, 0.0, 0.0]]))
        tensor([[ 0.2500, -0.2500,  1.0000],
                [ 0.0000,  0.0000,  0.0000]])
    """

    def __init__(self, by: str = "max") -> None:
        super().__init__()
        check_choice("by", by, ("max", "area", "snv"))
        self.by = by

    def forward(self, x: Float[Tensor, "*batch length"]) -> Float[Tensor, "*batch length"]:
        """Scale spectra `x` along their last dimension."""
        check_tensor("x", x)
        offset, scale = self._statistics(x)
        # NaN only at the end: the backward pass of a quotient multiplies it by a gradient of 0, which gives NaN.
        return ((x.nan_to_num(0.0) - offset) / scale).masked_fill(x.isnan(), torch.nan)

    def inverse(
        self, y: Float[Tensor, "*batch length"], spectrum: Float[Tensor, "*batch length"]
    ) -> Float[Tensor, "*batch length"]:
        """Return the intensities of scaled ones `y`, on the scale of `spectrum`, which must be given with them."""
        check_tensors(y=y, spectrum=spectrum)
        offset, scale = self._statistics(spectrum)
        return y * scale + offset

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return offset and scale of each spectrum, (..., 1), from its measured samples. A scale of 0 becomes 1."""
        measured = ~x.isnan()
        x = x.masked_fill(~measured, 0.0)
        if self.by == "snv":
            count = measured.sum(dim=-1, keepdim=True)
            mean = x.sum(dim=-1, keepdim=True) / count.clamp(min=1)
            squares = (x - mean).masked_fill(~measured, 0.0).square().sum(dim=-1, keepdim=True)
            variance = squares / (count - 1).clamp(min=1)
            # The root comes after the replacement, as its derivative at 0 is infinite.
            return mean, torch.where(variance == 0, 1.0, variance).sqrt()
        magnitude = x.abs()
        scale = magnitude.amax(-1, keepdim=True) if self.by == "max" else magnitude.sum(-1, keepdim=True)
        return torch.zeros_like(scale), torch.where(scale == 0, 1.0, scale)

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f'"{self.by}"'
