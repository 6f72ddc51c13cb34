"""Layers on features of several degrees: lists of (N, 2l + 1, F), l = 0, 1, …, components in e3nn's order."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra.layers.constants import ExactConstants
from molspectra.layers.precision import at_least_float32
from molspectra.layers.sphere import SphereGrid, harmonics_at

# 1/√⟨f(x)²⟩ over x ~ N(0, 1), as e3nn estimates it (0.16 % above the exact value for SiLU): the gains of its gates.
SILU_GAIN = 1.6791767923989418
SIGMOID_GAIN = 1.8467055342154763


class DegreeLinear(nn.Module):
    """y_l = x_l W_l, plus a bias for l = 0: one weight a degree mixes channels, never components.

    Weights are N(0, 1) / √in at first, as in `e3nn.o3.Linear`, and the bias 0.

    Args:
        in_channels: Channels of every incoming degree.
        out_channels: Channels of every outgoing degree but, perhaps, the first.
        l_max: Highest degree.
        out_scalars: Channels of the outgoing degree 0, by default as many.
    """

    def __init__(self, in_channels: int, out_channels: int, l_max: int, out_scalars: int | None = None) -> None:
        super().__init__()
        widths = [out_channels if out_scalars is None else out_scalars] + [out_channels] * l_max
        self.degrees = nn.ModuleList(nn.Linear(in_channels, out, bias=not l) for l, out in enumerate(widths))
        _init_normal(self)

    def forward(self, features: Sequence[Float[Tensor, "rows _ in"]]) -> list[Float[Tensor, "rows _ _"]]:
        """Features (N, 2l + 1, in) of each degree → (N, 2l + 1, out)."""
        return [linear(of_degree) for linear, of_degree in zip(self.degrees, features, strict=True)]


class DegreeNorm(nn.Module):
    """Layer norm by degree (Equiformer, arXiv:2206.11990): each is divided by its root mean square.

    x_l ← w_l ⊙ x_l / √(⟨x_l²⟩ + ε), the mean running over channels and components; of the scalars the mean over
    channels is taken out before, and a bias is added after. Computed in float32 or better.

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
        """Features (N, 2l + 1, F) of each degree → the same, normalised."""
        normed = []
        for l, (weight, of_degree) in enumerate(zip(self.weight, features, strict=True)):
            of_degree = at_least_float32(of_degree)
            if l == 0:
                of_degree = of_degree - of_degree.mean(dim=2, keepdim=True)
            mean_square = of_degree.square().mean(dim=(1, 2), keepdim=True)
            normed.append(of_degree * torch.rsqrt(mean_square + self.eps) * weight)
        normed[0] = normed[0] + self.bias
        return normed

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return f"{self.weight.shape[1]}, l_max={self.weight.shape[0] - 1}, eps={self.eps}"


class Gate(nn.Module):
    """SiLU on scalars, and a sigmoid of further scalars on every channel of higher degree, with e3nn's gains.

    Degree 0 comes with F (l_max + 1) channels: F to be activated, and F gates for each degree from 1 on.
    """

    def forward(self, features: Sequence[Float[Tensor, "rows _ _"]]) -> list[Float[Tensor, "rows _ channels"]]:
        """Features (N, 1, F (l_max + 1)) and (N, 2l + 1, F) → (N, 2l + 1, F) of each degree."""
        scalars, *gates = features[0].chunk(len(features), dim=2)
        higher = [
            of_degree * (SIGMOID_GAIN * torch.sigmoid(gate))
            for gate, of_degree in zip(gates, features[1:], strict=True)
        ]
        return [SILU_GAIN * F.silu(scalars), *higher]


class LiftDegrees(ExactConstants):
    """Makes the degrees that features lack by coupling the highest that there is with the vectors, again and again.

    x_l = x_{l-1} A_l ⊗ v B_l, channel by channel, where ⊗ keeps the highest degree: for l = 2 the traceless symmetric
    part of a bᵀ. The product is that of `e3nn.o3.TensorProduct` with "uuu" and weight 1, up to a sign for l > 2.

    Where vectors vanish (a lone atom, a centre of symmetry) so does what is made of them. Weights of degrees that are
    given have a gradient of 0.

    Args:
        channels: Number F of channels of every degree.
        l_max: Highest degree to have, at least 1.

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
        _init_normal(self)

    def forward(self, features: Sequence[Float[Tensor, "rows _ channels"]]) -> list[Float[Tensor, "rows _ channels"]]:
        """Features (N, 2l + 1, F) of degrees 0, 1, … → of degrees 0 to l_max; higher ones are left out.

        Raises:
            ValueError: there are no vectors.
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
            # What wraps modules for several processes (DistributedDataParallel) waits for every weight's gradient.
            unused = [*self.left[: given - 2].parameters(), *self.right[: given - 2].parameters()]
            lifted[0] = lifted[0] + 0.0 * torch.stack([weight.sum() for weight in unused]).sum()
        return lifted

    def _couple(self, l: int, lower: Tensor, vectors: Tensor) -> Tensor:
        """Features of degree l - 1 and vectors → (N, 2l + 1, F)."""
        a, b = self.left[l - 2](lower), self.right[l - 2](vectors)
        products = (a.unsqueeze(2) * b.unsqueeze(1)).flatten(1, 2)
        return self.get_buffer(f"coupling_{l}").to(products.dtype) @ products


def leading_coupling(l: int) -> Float[Tensor, "components products"]:
    """How degrees l - 1 and 1 couple to degree l, (2l + 1, (2l - 1) · 3), float64; the rows are orthonormal.

    Proportional to ∫ Y_l Y_{l-1} Y_1 dΩ, summed exactly. `e3nn.o3.wigner_3j` is right to 1e-8 only from l = 3 on.
    """
    grid = SphereGrid.gauss_legendre(l + 1)
    harmonics = harmonics_at(grid.points, l)
    lower, degree = harmonics[:, (l - 1) ** 2 : l**2], harmonics[:, l**2 :]
    products = (lower.unsqueeze(2) * harmonics[:, 1:4].unsqueeze(1)).flatten(1)
    coupling = (grid.log_weights.exp().unsqueeze(1) * degree).T @ products
    return coupling * (math.sqrt(2 * l + 1) / torch.linalg.matrix_norm(coupling))


def _init_normal(module: nn.Module) -> None:
    """N(0, 1) / √in for the weights of all linear layers in a module, 0 for the biases."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=1 / math.sqrt(part.in_features))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
