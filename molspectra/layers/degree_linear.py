"""Linear map of features of several degrees: lists of (N, 2l + 1, F), l = 0, 1, …, components in e3nn's order."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from molspectra._validation import check_sizes, check_tensor, checked
from molspectra.layers.initialization import init_linears_normal


class DegreeLinear(nn.Module):
    """Linear map y_l = x_l W_l, plus a bias for l = 0.

    One weight per degree mixes channels and never components, so that the map commutes with rotations. Weights start
    from N(0, 1) / √in, as in `e3nn.o3.Linear`, and the bias from 0.

    Args:
        in_channels: Channels of every incoming degree.
        out_channels: Channels of every outgoing degree l ≥ 1.
        l_max: Highest degree.
        out_scalars: Channels of the outgoing degree 0. Default: `out_channels`.
    """

    @checked
    def __init__(self, in_channels: int, out_channels: int, l_max: int, out_scalars: int | None = None) -> None:
        super().__init__()
        check_sizes(out_scalars=out_channels if out_scalars is None else out_scalars)
        widths = [out_channels if out_scalars is None else out_scalars] + [out_channels] * l_max
        # Only scalars can have a bias: a constant vector would single out a direction.
        self.degrees = nn.ModuleList(nn.Linear(in_channels, out, bias=not l) for l, out in enumerate(widths))
        init_linears_normal(self)

    def forward(self, features: Sequence[Float[Tensor, "rows _ in"]]) -> list[Float[Tensor, "rows _ _"]]:
        """Map features (N, 2l + 1, in) of each degree to (N, 2l + 1, out)."""
        if not isinstance(features, list | tuple):
            raise TypeError(
                f"features must be a list with a tensor for each degree; got a {type(features).__name__}. Pass "
                "[scalars.unsqueeze(1), vectors]."
            )
        for degree, of_degree in enumerate(features):
            check_tensor(f"features[{degree}]", of_degree)
        return [linear(of_degree) for linear, of_degree in zip(self.degrees, features, strict=True)]
