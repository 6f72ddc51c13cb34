"""Radial functions of the edges: spherical Bessel functions, for angles of every order and for distances alone."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra.layers.constants import ExactConstants

NUM_RADIAL = 6
"""Number of radial functions of each order, fixed in the release."""
NUM_ORDERS = 3
"""Orders l = 0, 1, 2 of the spherical Bessel functions and of the harmonics."""

# The release rounds zeros to float32, and norms to about seven digits: row l holds N_l1 … N_l6.
_RELEASED_NORMS = (
    (4.44288301467896, 8.885766029357926, 13.328648567199709, 17.77153205871585, 22.214414596557567, 26.65729713439942),
    (6.51010513305662, 11.016306877136248, 15.485468864440968, 19.94280815124502, 24.39484977722171, 28.8440628051758),
    (
        8.542646408081021,
        13.101760864257816,
        17.601940155029265,
        22.07896041870116,
        26.544515609741097,
        31.003566741943402,
    ),
)
# Below this argument the closed forms cancel, and the Taylor series takes over.
_SMALL = 2.0
_NUM_TERMS = 14


class RadialBasis(nn.Module):
    """Functions (1 - 28 t⁶ + 48 t⁷ - 21 t⁸) sin(f_n t) / t with t = r / r_c, n = 1 … 6 (DimeNet, arXiv:2003.03123).

    The polynomial takes value, slope and curvature to 0 at the cutoff. Frequencies f_n start at n π and are learned.

    Args:
        cutoff: r_c in Å.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        order = torch.arange(1, NUM_RADIAL + 1, dtype=torch.float64)
        self.frequencies = nn.Parameter((math.pi * order).to(torch.get_default_dtype()))

    def forward(self, distance: Float[Tensor, " edges"]) -> Float[Tensor, "edges 6"]:
        """Map distances in Å, (E,), to (E, 6)."""
        t = (distance / self.cutoff).unsqueeze(-1)
        sine = self.frequencies * spherical_bessel(t * self.frequencies, 0)  # sin(f t) / t
        return (1 + t**6 * (t * (48 - 21 * t) - 28)) * sine


class SphericalBesselBasis(ExactConstants):
    """Functions B_ln(r) = N_ln j_l(z_ln r / r_c), l = 0, 1, 2 and n = 1 … 6 (DimeNet, arXiv:2003.03123).

    z_ln is the n-th positive zero of j_l, and N_ln = √2 / |j_{l+1}(z_ln)|. They are not damped at the cutoff.

    Args:
        cutoff: r_c in Å.
        as_released: Use the rounded constants of the release, which change values by less than 10⁻⁶.
    """

    zeros: Tensor
    norms: Tensor

    def __init__(self, cutoff: float, as_released: bool = False) -> None:
        super().__init__(_released_constants if as_released else _constants)
        self.cutoff = cutoff

    def forward(self, distance: Float[Tensor, " edges"]) -> Float[Tensor, "edges 3 6"]:
        """Map distances in Å, (E,), to (E, 3, 6): order l, then n."""
        scaled = (distance / self.cutoff).unsqueeze(-1)
        orders = [spherical_bessel(scaled * zeros, order) for order, zeros in enumerate(self.zeros)]
        return torch.stack(orders, dim=1) * self.norms


def spherical_bessel(x: Tensor, order: int) -> Tensor:
    """Return j_l(x) of order l = 0, 1 or 2 for x ≥ 0, with finite derivatives at 0."""
    near = x < _SMALL
    small = torch.where(near, x, 0.0)
    half_square = -0.5 * small.square()
    # j_l(x) = x^l / (2l + 1)!! Σ_k (-x²/2)^k / (k! (2l + 3) (2l + 5) … (2l + 2k + 1)), by the scheme of Horner.
    series = torch.ones_like(x)
    for k in range(_NUM_TERMS, 0, -1):
        series = 1 + series * half_square / (k * (2 * order + 2 * k + 1))
    series = series * small**order / math.prod(range(1, 2 * order + 2, 2))
    away = torch.where(near, 1.0, x)
    sine, cosine = torch.sin(away) / away, torch.cos(away) / away
    if order == 0:
        closed = sine
    elif order == 1:
        closed = sine / away - cosine
    else:
        closed = (3 / away.square() - 1) * sine - 3 * cosine / away
    return torch.where(near, series, closed)


def _constants() -> dict[str, Tensor]:
    """Return zeros z_ln and norms N_ln, (3, 6)."""
    from scipy.optimize import brentq
    from scipy.special import spherical_jn

    # A zero of j_l lies between any two neighboring ones of j_{l-1}.
    zeros = [[math.pi * n for n in range(1, NUM_RADIAL + NUM_ORDERS)]]
    for order in range(1, NUM_ORDERS):
        brackets = zip(zeros[-1][:-1], zeros[-1][1:], strict=True)
        zeros.append([brentq(lambda x, order=order: spherical_jn(order, x), *ends, xtol=1e-15) for ends in brackets])
    rows = [row[:NUM_RADIAL] for row in zeros]
    norms = [[math.sqrt(2) / abs(spherical_jn(order + 1, z)) for z in row] for order, row in enumerate(rows)]
    return {"zeros": torch.tensor(rows, dtype=torch.float64), "norms": torch.tensor(norms, dtype=torch.float64)}


def _released_constants() -> dict[str, Tensor]:
    norms = torch.tensor(_RELEASED_NORMS, dtype=torch.float64)
    return {"zeros": _constants()["zeros"].float().double(), "norms": norms}
