"""Positions of tokens in the unit of a physical axis."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_sizes, check_tensor
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.fourier_features import FourierFeatures
from molspectra.spectra.patching import SpectrumPatcher


class AxisPositions(Configurable, nn.Module):
    """Vector of each place on an axis, W φ(x) + v, with :class:`FourierFeatures` φ and a learned v of the kind.

    The wavelengths of φ go from at least twice the range of the axis down to about the distance of two tokens. Places
    between and beyond those of the training therefore get vectors too, and near places get similar ones. All patches of
    a kind are equally wide, so that v stands for their width as well.

    Args:
        span: Range of the axis, in its unit.
        spacing: Distance of neighboring tokens, in the same unit.
        channels: Width D of the tokens.

    Example:
        >>> AxisPositions(span=3500.0, spacing=25.0, channels=32)(torch.tensor([524.5, 549.5])).shape
        torch.Size([2, 32])
    """

    def __init__(self, span: float, spacing: float, channels: int) -> None:
        super().__init__()
        if not 0 < spacing < math.inf:
            raise ValueError(f"spacing must be positive and finite (unit of the axis); got {spacing}.")
        check_sizes(channels=channels)
        self.features = FourierFeatures(span, spacing)
        self.proj = nn.Linear(self.features.num_features, channels, bias=False)
        self.kind = nn.Parameter(torch.empty(channels))
        nn.init.uniform_(self.kind, -0.02, 0.02)

    def forward(self, places: Float[Tensor, " tokens"]) -> Float[Tensor, "tokens channels"]:
        """Return the vectors (n, D) of places (n,) on the axis."""
        check_tensor("places", places)
        return self.proj(self.features(places).to(self.kind.dtype)) + self.kind


def positions_on_axes(
    patchers: Mapping[str, SpectrumPatcher], axes: Mapping[str, SpectrumAxis], channels: int
) -> nn.ModuleDict:
    """Return :class:`AxisPositions` of each kind.

    Raises:
        ValueError: a kind has no axis.
    """
    if lacking := [kind for kind in patchers if kind not in axes]:
        raise ValueError(
            f'position="axis" needs the axis of each kind; got numbers of samples for {lacking}. Pass lengths='
            f"{{{lacking[0]!r}: molspectra.data.SpectrumAxis(...)}}."
        )
    of_kind = ((kind, axes[kind], patcher.stride) for kind, patcher in patchers.items())
    return nn.ModuleDict(
        {kind: AxisPositions(axis.stop - axis.start, stride * axis.step, channels) for kind, axis, stride in of_kind}
    )
