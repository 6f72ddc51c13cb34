"""Distribution of the position of a masked atom, predicted by each of its neighbors."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.degrees import DegreeNorm, Gate, LiftDegrees
from molspectra.heads.sphere import SphereGrid, SphereHarmonics
from molspectra.layers.constants import ExactConstants
from molspectra.layers.degree_linear import DegreeLinear
from molspectra.layers.plain_linear import is_plain_linear
from molspectra.layers.position_distribution import PositionDistribution


class PositionDistributionHead(Configurable, ExactConstants):
    """Distributions of direction and distance to a masked atom (EMPP, An et al., ICLR 2025, arXiv:2502.08209).

    The features x_l of an atom near the masked one, l = 0 … l_max, give coefficients on the sphere:

        c = Linear(Gate(Linear(Norm(x))))                             32 channels of (l_max + 1)²
        log q(p) = log_softmax_p[w₂ · SiLU(W₁ Σ_lm c_lm Y_lm(p) + b₁) / T + log area(p)]
        log q(r) = log_softmax_r[MLP(c_0)]                            128 distances up to 6 Å

    over points p of a grid on the sphere and distances r. Degrees that the encoder lacks are built from its vectors
    (:class:`~molspectra.heads.degrees.LiftDegrees`). W₁ acts before the harmonics, which is equivalent and takes less
    memory.

    Differences from the released code, undone by `as_released=True`:

    * The softmax weights each point by its area. The released one does not, so it prefers directions near the poles of
      its 100 × 101 grid, and the loss of a molecule changes by up to 12 % under rotation.
    * With areas, a Gauss–Legendre grid of 20 × 40 points suffices for l_max = 2, with 20× less memory. Under rotation
      the loss of a pair changes by a relative 1e-8, and by 2e-5 with tripled logits.
    * The last direction layer has no bias, because the softmax cancels a constant.

    Further heads of the public code, which its training scripts do not use, are not reproduced: raw displacements as
    labels, and one center per molecule instead of every neighbor. Under autocast the head runs in the precision of its
    weights, because the temperature multiplies rounding errors by ten.

    Args:
        channels: Width F of the atom features.
        l_max: Highest degree of the features that the head reads, 1 to 11.
        hidden_channels: Channels of the coefficients.
        mix_channels: Width of the hidden layer for directions.
        num_radii: Number of distances.
        max_radius: Largest distance in Å. Distances are evenly spaced from 0.
        temperature: Temperature T of directions.
        num_polar: Number n of rings of the grid, of n × 2n points, by default n = 10 l_max. If `as_released`,
            n × (n + 1) points, by default n = 100.
        as_released: Reproduce the released arithmetic.

    Raises:
        ValueError: A size or the temperature is out of range.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> atoms = encoder(torch.tensor([8, 1]), torch.randn(2, 3))
        >>> PositionDistributionHead(channels=32)(atoms).direction.shape
        torch.Size([2, 800])
    """

    radii: Tensor

    def __init__(
        self,
        channels: int,
        l_max: int = 2,
        *,
        hidden_channels: int = 32,
        mix_channels: int = 16,
        num_radii: int = 128,
        max_radius: float = 6.0,
        temperature: float = 0.1,
        num_polar: int | None = None,
        as_released: bool = False,
    ) -> None:
        if not 1 <= l_max <= 11:
            raise ValueError(f"l_max must lie in 1..11; got {l_max}.")
        if not temperature > 0 or not max_radius > 0:
            raise ValueError(f"temperature and max_radius (Å) must be positive; got {temperature} and {max_radius}.")
        if num_radii < 2:
            raise ValueError(f"num_radii must be at least 2; got {num_radii}.")
        radii = torch.linspace(0, max_radius, num_radii, dtype=torch.float64, device="cpu")
        super().__init__(lambda: {"radii": radii})
        self.channels = channels
        self.temperature = temperature
        self.lift = LiftDegrees(channels, l_max)
        self.norm = DegreeNorm(channels, l_max)
        # Each degree from 1 on has its own gate per channel.
        self.linear_in = DegreeLinear(channels, channels, l_max, out_scalars=(l_max + 1) * channels)
        self.gate = Gate()
        self.linear_out = DegreeLinear(channels, hidden_channels, l_max)
        self.sphere = SphereHarmonics(_make_grid(num_polar, l_max, as_released), l_max)
        self.mix = nn.Linear(hidden_channels, mix_channels)
        self.direction = nn.Linear(mix_channels, 1, bias=as_released)
        self.radius = nn.Sequential(
            nn.Linear(hidden_channels, 2 * hidden_channels), nn.SiLU(), nn.Linear(2 * hidden_channels, num_radii)
        )

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> PositionDistribution:
        """Predict one distribution per row of features, such as `atoms.select(index)`. Zero rows are allowed.

        `data` is ignored.

        Raises:
            ValueError: The encoder gives no vectors.
        """
        check_atoms("PositionDistributionHead", atoms)
        # The temperature of 0.1 multiplies logits, and their rounding errors, by ten.
        with torch.autocast(atoms.scalars.device.type, enabled=False):
            coefficients = self.coefficients(atoms)
            dtype = coefficients.dtype
            log_weights = self.sphere.log_weights.to(dtype)
            # A point stands for its cell: probability = density × area, in logarithms a sum.
            direction = self.direction_logits(coefficients) / self.temperature + log_weights
            # Distances are invariants: only coefficients of degree 0 may enter.
            return PositionDistribution(
                direction.log_softmax(dim=1),
                self.radius(coefficients[:, 0]).log_softmax(dim=1),
                self.sphere.points.to(dtype),
                log_weights,
                self.radii.to(dtype),
            )

    def coefficients(self, atoms: AtomFeatures) -> Float[Tensor, "pairs dim hidden"]:
        """Compute the coefficients on the sphere, (E, (l_max + 1)², hidden_channels), degree by degree."""
        check_atoms("PositionDistributionHead", atoms, self.channels)
        dtype = self.radii.dtype  # that of the weights
        features = [atoms.degree(l) for l in range(min(atoms.l_max, self.lift.l_max) + 1)]
        # Under autocast, an encoder may return half precision.
        features = [of_degree.to(torch.promote_types(of_degree.dtype, dtype)) for of_degree in features]
        return torch.cat(self.linear_out(self.gate(self.linear_in(self.norm(self.lift(features))))), dim=1)

    def direction_logits(self, coefficients: Float[Tensor, "pairs dim hidden"]) -> Float[Tensor, "pairs points"]:
        """Map coefficients to L(p), before temperature and area, (E, G)."""
        if is_plain_linear(self.mix):
            # W₁ mixes channels and the harmonics mix components, so they commute: 16 channels on the grid, not 32.
            mixed = self.sphere(F.linear(coefficients, self.mix.weight)) + self.mix.bias.unsqueeze(1)
            mixed = mixed.mT
        else:
            mixed = self.mix(self.sphere(coefficients).mT)
        return self.direction(F.silu(mixed)).squeeze(2)


def _make_grid(num_polar: int | None, l_max: int, as_released: bool) -> SphereGrid:
    if as_released:
        # Equal weights for points of unequal area, as released: directions near the poles count too much.
        num_polar = 100 if num_polar is None else num_polar
        return SphereGrid.equal_angle(num_polar, num_polar + 1).unweighted()
    return SphereGrid.gauss_legendre(10 * l_max if num_polar is None else num_polar)
