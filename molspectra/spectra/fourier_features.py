"""Sines and cosines of positions at wavelengths from a whole range down to the resolution of an instrument."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_tensor


class FourierFeatures(Configurable, nn.Module):
    """x → (sin 2πx/λ, cos 2πx/λ) at wavelengths λ = 2ᵏ, one for each octave between a resolution and a range.

    The longest wavelength is at least twice the range, so that no two positions in it look alike. The shortest is at
    most four times the resolution, so that a difference of that size is an eighth of a turn or more.

    A mass of 500 has half a million waves of 0.001 before it, of which 32-bit numbers would leave a few hundredths.
    Wavelengths are powers of two, and the quotient and its fraction are therefore exact: the features tell apart
    whatever the positions do. The features have no weights.

    Args:
        span: Width of the range of positions.
        resolution: Smallest difference that matters, in the same unit.

    Example:
        >>> features = FourierFeatures(span=1000.0, resolution=0.0005)
        >>> features.num_features, features(torch.tensor([500.0, 500.001])).diff(dim=0).abs().max() > 0.5
        (42, tensor(True))
    """

    def __init__(self, span: float, resolution: float) -> None:
        super().__init__()
        if not (0 < resolution < math.inf and 0 < span < math.inf):
            raise ValueError(f"span and resolution must be positive and finite; got {span} and {resolution}.")
        self.span = span
        self.resolution = resolution
        # Logarithms to base 2 of the longest and of the shortest wavelength.
        self._longest = math.ceil(math.log2(span)) + 1
        self._shortest = min(math.floor(math.log2(resolution)) + 2, self._longest)

    @property
    def num_features(self) -> int:
        """Number of features of a position, two for each wavelength."""
        return 2 * (self._longest - self._shortest + 1)

    @property
    def wavelengths(self) -> list[float]:
        """Wavelengths in the unit of the positions, the longest first."""
        return [2.0**power for power in range(self._longest, self._shortest - 1, -1)]

    def forward(self, positions: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape features"]:
        """Return the features of positions, in their dtype."""
        check_tensor("positions", positions)
        # Made on the device: a tensor of these numbers would be copied there in every forward. Integers are exact.
        octaves = 1 << torch.arange(self._longest - self._shortest + 1, dtype=torch.int64, device=positions.device)
        waves = (positions * 2.0**-self._longest).unsqueeze(-1) * octaves.to(positions.dtype)
        angle = 2 * math.pi * (waves - waves.floor())
        return torch.cat([angle.sin(), angle.cos()], dim=-1)
