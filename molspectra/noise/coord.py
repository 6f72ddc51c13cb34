"""Independent Gaussian noise on every coordinate."""

import copy
import math
from collections.abc import Sequence

import torch
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of, of_each_atom
from molspectra._config import Configurable
from molspectra._validation import check_generator, check_positions, check_std
from molspectra.geometry.alignment import remove_mean


class CoordNoise(Configurable):
    """Isotropic noise pos ← pos + σ ε with ε ~ N(0, 1), as in Coord (Zaidi et al. 2022, arXiv:2206.00133, §3.1).

    Adds `pos_target` = σ ε (N, 3) in Å, the displacement. Predicting it amounts to learning the forces of an energy
    that is harmonic in every coordinate around each conformer. Works on a `Data` or a `Batch`, on its device, and as a
    transform in a data loader.

    With a range of σ, each molecule draws its own, uniform in log σ. The field `noise_scale` (B,) holds it, in Å.
    Strong noise teaches which atoms belong together, weak noise the forces near equilibrium.

    Args:
        std: σ in Å, or its smallest and largest value (low, high).
        remove_translation: Subtract the mean displacement of each molecule. A translation-invariant encoder cannot
            predict this mean: with it, as published, 1/N of the loss of a molecule of N atoms is irreducible.

    Raises:
        TypeError: `std` is neither a number nor a pair of them.
        ValueError: `std` is negative or not finite, or a range of it does not ascend from above 0.

    Example:
        >>> noisy = CoordNoise(std=0.04)(Data(z=torch.tensor([8, 1, 1]), pos=torch.zeros(3, 3)))
        >>> torch.equal(noisy.pos, noisy.pos_target)
        True
    """

    def __init__(self, std: float | Sequence[float] = 0.04, remove_translation: bool = False) -> None:
        if isinstance(std, int | float):
            check_std("std", std, "Å")
            self.std: float | tuple[float, float] = std
        else:
            self.std = _check_range(std)
        self.remove_translation = remove_translation

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return a shallow copy of `data` with perturbed `pos` and added `pos_target`."""
        check_positions(data, "CoordNoise")
        check_generator(generator)
        pos = data.pos
        noisy = copy.copy(data)
        with record_function("molspectra::coord_noise"):
            noise = torch.randn(pos.shape, generator=generator, dtype=pos.dtype, device=pos.device)
            if isinstance(self.std, tuple):
                low, high = self.std
                scale = low * (high / low) ** torch.rand(
                    num_molecules_of(data), generator=generator, dtype=pos.dtype, device=pos.device
                )
                noisy.noise_scale = scale
                noise = noise * of_each_atom(scale, data).unsqueeze(1)
            else:
                noise = self.std * noise
            if self.remove_translation:
                # ε minus its mean over the molecule: still Gaussian, orthogonal to translations.
                noise = remove_mean(noise, data.batch, num_molecules_of(data))
            noisy.pos = pos + noise
            # The drawn noise rather than the difference of positions, which has lost digits to rounding.
            noisy.pos_target = noise
        return noisy


def _check_range(std: object) -> tuple[float, float]:
    """Return the ends of a range of standard deviations.

    Raises:
        TypeError: it is no pair of numbers.
        ValueError: it does not ascend from above 0.
    """
    ends = tuple(std) if isinstance(std, list | tuple) else ()
    if len(ends) != 2 or not all(isinstance(end, int | float) for end in ends):
        raise TypeError(f"std must be a number, or a pair (low, high) of them, in Å; got {std!r}.")
    low, high = (float(end) for end in ends)
    if not 0 < low < high < math.inf:
        raise ValueError(f"std must ascend from above 0, (low, high) in Å; got {std!r}.")
    return low, high
