"""3D-EMGP's noise: scales from 0.01 Å to 10 Å, and a force target invariant to rigid motions of the molecule."""

import copy
import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from molspectra._batch import num_molecules_of, of_each_atom
from molspectra._config import Configurable
from molspectra._validation import check_choice, check_generator, check_positions, check_sizes, check_tensors
from molspectra.geometry.alignment import kabsch_align, remove_mean
from molspectra.noise.ladder import check_ladder, check_levels, scale_of

NoiseMode = Literal["riemann", "kabsch", "gaussian"]


class EMGPNoise(Configurable):
    """Multi-scale noise of energy-motivated equivariant pre-training (3D-EMGP, Jiao et al. 2023, arXiv:2207.08824).

    Each molecule gets a level l, uniform in 0..L - 1. Its scale σ lies on a geometric ladder from `max_std` (level 0)
    down to `min_std`. Three kinds of noise, with ε ~ N(0, 1):

    * "riemann": `steps` steps of Langevin dynamics, x ← x + α_t T(x) + √(2α_t) σ ε with α_t = 2^-t, in the field
      T = :func:`riemann_force_target`, the paper's Riemann-Gaussian score. T is 0 at the molecule itself and α₁ = ½, so
      that **one step, as published, is exactly plain Gaussian noise x + σ ε**, and only the target differs. Each
      further step pulls back and adds half the variance of the step before.
    * "gaussian": x + σ ε.
    * "kabsch": x + σ ε, aligned with x as a rigid body (:func:`molspectra.geometry.kabsch_align`).

    Adds `force_target` (N, 3) in Å, which is T at the perturbed positions x̃ in mode "riemann" and x - x̃ in the other
    modes, `noise_level` l (B,) int64, and `noise_scale` σ (B,) in Å, in float32 precision.

    Args:
        max_std: Largest σ in Å.
        min_std: Smallest σ in Å.
        num_levels: Number of levels L.
        steps: Number of Langevin steps, in mode "riemann".
        mode: "riemann", "kabsch" or "gaussian".
        as_released: In mode "kabsch", accept mirror images that lie closer. In the other modes nothing changes, except
            that a lone atom and coincident atoms have T = 0 here and NaN in the release.

    Raises:
        ValueError: the scales are not 0 < min_std ≤ max_std < ∞, `num_levels` or `steps` is below 1, the mode is
            unknown, or `steps` is above 1 in another mode than "riemann".

    Example:
        >>> noisy = EMGPNoise()(Batch.from_data_list(list(ms.data.MiniSpectra()[:4])))
        >>> noisy.force_target.shape == noisy.pos.shape, noisy.noise_level.shape
        (True, torch.Size([4]))
    """

    def __init__(
        self,
        max_std: float = 10.0,
        min_std: float = 0.01,
        num_levels: int = 50,
        steps: int = 1,
        mode: NoiseMode = "riemann",
        *,
        as_released: bool = False,
    ) -> None:
        check_ladder(max_std, min_std, num_levels)
        check_sizes(steps=steps)
        check_choice("mode", mode, ("riemann", "kabsch", "gaussian"))
        if steps > 1 and mode != "riemann":
            raise ValueError(f"steps={steps} is for mode='riemann'; got it with mode={mode!r}. Leave it out.")
        self.max_std = max_std
        self.min_std = min_std
        self.num_levels = num_levels
        self.steps = steps
        self.mode = mode
        self.as_released = as_released

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return a shallow copy of `data` with perturbed `pos`, `force_target`, `noise_level` and `noise_scale`."""
        check_positions(data, "EMGPNoise")
        check_generator(generator)
        options = {"generator": generator, "device": data.pos.device}
        return self.perturb(data, torch.randint(self.num_levels, (num_molecules_of(data),), **options), generator)

    def perturb(
        self,
        data: Data,
        noise_level: Int[Tensor, " molecules"],
        generator: torch.Generator | None = None,
        *,
        normals: Float[Tensor, "steps atoms 3"] | None = None,
    ) -> Data:
        """Perturb with given levels.

        Args:
            data: A `Data` or `Batch` with `pos`.
            noise_level: Level of each molecule, (B,), on the device of the data. Level 0 is the largest scale.
            generator: Source of randomness, on the device of the data.
            normals: ε of each step, (steps, N, 3), or None to draw it.

        Raises:
            TypeError: the levels are not int64.
            ValueError: the number of levels is not that of molecules, a level is out of range (checked for CPU
                tensors), or the normals have another shape.
        """
        pos = data.pos
        check_levels(noise_level, num_molecules_of(data), self.num_levels)
        if normals is None:
            shape = (self.steps, *pos.shape)
            normals = torch.randn(shape, generator=generator, dtype=pos.dtype, device=pos.device)
        if normals.shape != (self.steps, *pos.shape):
            expected = (self.steps, *pos.shape)
            raise ValueError(f"normals must have shape {expected}, (steps, N, 3); got {tuple(normals.shape)}.")
        noisy = copy.copy(data)
        noisy.noise_level = noise_level
        noisy.noise_scale = self.scale(noise_level).to(pos.dtype)
        per_atom = of_each_atom(noisy.noise_scale, data)
        with record_function("molspectra::emgp_noise.perturb"):
            noisy.pos = self._perturbed(data, per_atom.unsqueeze(1), normals.to(pos.dtype))
        with record_function("molspectra::emgp_noise.force_target"):
            noisy.force_target = self._force(noisy.pos, data) if self.mode == "riemann" else pos - noisy.pos
        return noisy

    def scale(self, noise_level: Int[Tensor, "*levels"]) -> Float[Tensor, "*levels"]:
        """Return the scales σ of levels in Å, float32."""
        return scale_of(noise_level, self.max_std, self.min_std, self.num_levels)

    def _perturbed(self, data: Data, std: Tensor, normals: Tensor) -> Tensor:
        # First step: T = 0 at the molecule itself, and √(2α₁) = 1.
        pos = data.pos + std * normals[0]
        for step, normal in enumerate(normals[1:], start=2):
            rate = 2.0**-step
            pos = pos + rate * self._force(pos, data) + math.sqrt(2 * rate) * std * normal
        if self.mode == "kabsch":
            # The release aligns by an unconstrained SVD, which may mirror the molecule.
            mirror, num_molecules = self.as_released, num_molecules_of(data)
            return kabsch_align(pos, data.pos, data.batch, allow_reflection=mirror, num_molecules=num_molecules)
        return pos

    def _force(self, pos: Tensor, data: Data) -> Tensor:
        return riemann_force_target(pos, data.pos, data.batch, num_molecules=num_molecules_of(data))


def riemann_force_target(
    pos_perturbed: Float[Tensor, "atoms 3"],
    pos: Float[Tensor, "atoms 3"],
    batch: Int[Tensor, " atoms"] | None = None,
    *,
    num_molecules: int | None = None,
) -> Float[Tensor, "atoms 3"]:
    """Compute the force towards a molecule that is invariant to rigid motions of it (3D-EMGP, arXiv:2207.08824).

    Molecules with centered positions X̃ and X (N, 3) are compared by their Gram matrices, d² = |X̃X̃ᵀ - XXᵀ|². A
    rotation, reflection or translation of either molecule does not change d². The force is

        T = -2 (X̃ A - X B) / (|A| + |B|) = -∇_X̃ d² / (2 (|A| + |B|)),  A = X̃ᵀX̃,  B = XᵀX̃,

    with Frobenius norms. This is the score of exp(-d²/4σ²) times σ², divided by the mean of |A| and |B|. The division
    makes it a length in Å, of the order of the displacement. T is equivariant in the perturbed positions and sums to 0
    over a molecule. It needs two 3×3 matrices per molecule, and no N × N matrix. Inputs are upcast to float64.

    For a lone atom and for coincident perturbed atoms the formula is 0/0 and the gradient of d² vanishes. T is exactly
    0 there.

    Args:
        pos_perturbed: Positions at which the force acts, in Å, (N, 3).
        pos: Positions towards which the force points, (N, 3).
        batch: Molecule of each atom, (N,), or None for one molecule.
        num_molecules: Number of molecules, if known. Without it the host reads it off `batch` and waits for the device.

    Returns:
        T in Å, (N, 3).

    Example:
        >>> short, bond = torch.tensor([[0.0, 0, 0], [0.9, 0, 0]]), torch.tensor([[0.0, 0, 0], [0, 1.0, 0]])
        >>> riemann_force_target(short, bond)[:, 0]  # 0.1 Å too short, at any orientation
        tensor([-0.1000,  0.1000])
    """
    check_tensors(pos_perturbed=pos_perturbed, pos=pos)
    if batch is None:
        batch, num_molecules = torch.zeros(len(pos), dtype=torch.int64, device=pos.device), 1
    perturbed = _centered(pos_perturbed, batch, num_molecules)
    clean = _centered(pos, batch, num_molecules)
    pair = torch.stack([perturbed, clean], dim=1)
    # Gram matrices never appear: X̃X̃ᵀX̃ = X̃A and XXᵀX̃ = XB, with 3×3 matrices A and B.
    products = pair.unsqueeze(3) * perturbed[:, None, None]
    moments = scatter(products, batch, dim=0, dim_size=num_molecules, reduce="sum")  # A and B, (M, 2, 3, 3)
    # |A| + |B|, with finite derivatives where a norm is 0.
    square = moments.square().sum(dim=(2, 3))
    size = torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0).sum(dim=1)
    moments = moments / torch.where(size > 0, size, 1.0)[:, None, None, None]
    to_itself, to_clean = (pair.unsqueeze(3) * moments.index_select(0, batch)).sum(dim=2).unbind(1)  # X̃ A and X B
    return (-2 * (to_itself - to_clean)).to(pos_perturbed.dtype)


def _centered(pos: Tensor, batch: Tensor, num_molecules: int | None) -> Tensor:
    """Return positions about the center of each molecule in float64, exactly 0 if all of its atoms coincide."""
    # Subtract the first atom before the mean: the mean of equal numbers can differ from them by rounding.
    number = torch.arange(len(batch), device=batch.device)
    first = scatter(number, batch, dim=0, dim_size=num_molecules, reduce="min").index_select(0, batch)
    pos = pos.double()
    return remove_mean(pos - pos.index_select(0, first), batch, num_molecules)
