"""Layers on features of several degrees: lists of (N, 2l + 1, F), l = 0, 1, …, components in e3nn's order."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra.heads.sphere import SphereGrid, harmonics_at
from molspectra.layers.constants import ExactConstants
from molspectra.layers.initialization import init_linears_normal
from molspectra.layers.precision import at_least_float32

# Gains 1/√⟨f(x)²⟩ over x ~ N(0, 1) of the gates of e3nn, by its own estimate (for SiLU 0.16 % above the exact value).
SILU_GAIN = 1.6791767923989418
SIGMOID_GAIN = 1.8467055342154763


class DegreeNorm(nn.Module):
    """Layer norm by degree (Equiformer, arXiv:2206.11990): x_l ← w_l ⊙ x_l / √(⟨x_l²⟩ + ε).

    The mean runs over channels and components. From scalars, their mean over channels is subtracted first, and a bias
    is added last. Computed in float32 or better.

    Args:
        channels: Number F of channels of every degree.
        l_max: Highest degree.
        eps: ε, in squared units of the features.
    """

    def __init__(self, channels: int, l_max: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(l_max + 1, channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Sequence[Float[Tensor, "rows _ channels"]]) -> list[Float[Tensor, "rows _ channels"]]:
        """Normalize features (N, 2l + 1, F) of each degree."""
        normed = []
        for l, (weight, of_degree) in enumerate(zip(self.weight, features, strict=True)):
            of_degree = at_least_float32(of_degree)
            if l == 0:
                # Vectors keep their mean: subtracting it would mix channels of different directions.
                of_degree = of_degree - of_degree.mean(dim=2, keepdim=True)
            # One number per atom and degree, a mean over components too: an invariant, so that directions are kept.
            mean_square = of_degree.square().mean(dim=(1, 2), keepdim=True)
            normed.append(of_degree * torch.rsqrt(mean_square + self.eps) * weight)
        normed[0] = normed[0] + self.bias
        return normed

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"{self.weight.shape[1]}, l_max={self.weight.shape[0] - 1}, eps={self.eps}"


class Gate(nn.Module):
    """Gate of e3nn: SiLU of scalars, and features of higher degree times the sigmoid of further scalars.

    Degree 0 has F (l_max + 1) channels: F that SiLU activates, then F gates for each degree from 1 on.
    """

    def forward(self, features: Sequence[Float[Tensor, "rows _ _"]]) -> list[Float[Tensor, "rows _ channels"]]:
        """Map features (N, 1, F (l_max + 1)) and (N, 2l + 1, F) to (N, 2l + 1, F) of each degree."""
        scalars, *gates = features[0].chunk(len(features), dim=2)
        higher = [
            of_degree * (SIGMOID_GAIN * torch.sigmoid(gate))
            for gate, of_degree in zip(gates, features[1:], strict=True)
        ]
        return [SILU_GAIN * F.silu(scalars), *higher]


class LiftDegrees(ExactConstants):
    """Construction of the degrees that features lack: x_l = x_{l-1} A_l ⊗ v B_l, from the vectors v upward.

    The product ⊗ acts channel by channel and keeps the highest degree, which for l = 2 is the traceless symmetric part
    of a bᵀ. It equals `e3nn.o3.TensorProduct` with "uuu" and weight 1, up to a sign for l > 2.

    Where vectors vanish (a lone atom, a center of symmetry), the constructed degrees vanish too. Weights of degrees
    that the features already have get a gradient of 0.

    Args:
        channels: Number F of channels of every degree.
        l_max: Highest degree of the result, at least 1.

    Example:
        >>> scalars, vectors = torch.randn(5, 1, 8), torch.randn(5, 3, 8)
        >>> [tuple(x.shape) for x in LiftDegrees(channels=8, l_max=3)([scalars, vectors])]
        [(5, 1, 8), (5, 3, 8), (5, 5, 8), (5, 7, 8)]
    """

    def __init__(self, channels: int, l_max: int) -> None:
        if l_max < 1:
            raise ValueError(f"l_max must be at least 1, as scalars have no direction; got {l_max}.")
        super().__init__(lambda: {f"coupling_{l}": leading_coupling(l) for l in range(2, l_max + 1)})
        self.l_max = l_max
        self.left = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(2, l_max + 1))
        self.right = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(2, l_max + 1))
        init_linears_normal(self)

    def forward(self, features: Sequence[Float[Tensor, "rows _ channels"]]) -> list[Float[Tensor, "rows _ channels"]]:
        """Extend features (N, 2l + 1, F) of degrees 0, 1, … to degrees 0 … l_max, or cut them off there.

        Raises:
            ValueError: The features have no vectors.
        """
        if len(features) < 2:
            raise ValueError(
                "Directions need atom vectors (N, 3, F), and the encoder gave None. Use an equivariant encoder, or a "
                'method that does without: Coord, Frad, SliDe or EMGP with prediction="gradient".'
            )
        lifted = list(features[: self.l_max + 1])
        given = len(lifted)
        for l in range(given, self.l_max + 1):
            lifted.append(self._couple(l, lifted[l - 1], features[1]))
        if given > 2 and self.left:
            # DistributedDataParallel waits for a gradient of every weight: unused ones enter with a factor of 0.
            unused = [*self.left[: given - 2].parameters(), *self.right[: given - 2].parameters()]
            lifted[0] = lifted[0] + 0.0 * sum(weight.sum() for weight in unused)
        return lifted

    def _couple(self, l: int, lower: Tensor, vectors: Tensor) -> Tensor:
        """Couple features of degree l - 1 and vectors to degree l, (N, 2l + 1, F)."""
        a, b = self.left[l - 2](lower), self.right[l - 2](vectors)
        products = (a.unsqueeze(2) * b.unsqueeze(1)).flatten(1, 2)
        return self.get_buffer(f"coupling_{l}").to(products.dtype) @ products


def leading_coupling(l: int) -> Float[Tensor, "components products"]:
    """Return the coupling of degrees l - 1 and 1 to degree l, (2l + 1, (2l - 1) · 3), float64, with orthonormal rows.

    It is proportional to ∫ Y_l Y_{l-1} Y_1 dΩ, which the quadrature sums exactly. `e3nn.o3.wigner_3j` is right only to
    1e-8 from l = 3 on.
    """
    # The integrand is a polynomial of degree 2l in the direction, for which l + 1 rings are exact.
    grid = SphereGrid.gauss_legendre(l + 1)
    harmonics = harmonics_at(grid.points, l)
    lower, degree = harmonics[:, (l - 1) ** 2 : l**2], harmonics[:, l**2 :]
    products = (lower.unsqueeze(2) * harmonics[:, 1:4].unsqueeze(1)).flatten(1)
    coupling = (grid.log_weights.exp().unsqueeze(1) * degree).T @ products
    return coupling * (math.sqrt(2 * l + 1) / torch.linalg.matrix_norm(coupling))
