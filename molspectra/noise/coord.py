"""Independent Gaussian noise on every coordinate."""

import copy

import torch
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._config import Configurable
from molspectra._validation import check_positions, check_std
from molspectra.geometry.alignment import remove_mean


class CoordNoise(Configurable):
    """Isotropic noise pos ← pos + σ ε with ε ~ N(0, 1), as in Coord (Zaidi et al. 2022, arXiv:2206.00133, §3.1).

    Adds `pos_target` = σ ε (N, 3) in Å, the displacement. Predicting it amounts to learning the forces of an energy
    that is harmonic in every coordinate around each conformer. Works on a `Data` or a `Batch`, on its device, and as a
    transform in a data loader.

    Args:
        std: σ in Å.
        remove_translation: Subtract the mean displacement of each molecule. A translation-invariant encoder cannot
            predict this mean: with it, as published, 1/N of the loss of a molecule of N atoms is irreducible.

    Raises:
        ValueError: `std` is negative or not finite.

    Example:
        >>> noisy = CoordNoise(std=0.04)(Data(z=torch.tensor([8, 1, 1]), pos=torch.zeros(3, 3)))
        >>> torch.equal(noisy.pos, noisy.pos_target)
        True
    """

    def __init__(self, std: float = 0.04, remove_translation: bool = False) -> None:
        check_std("std", std, "Å")
        self.std = std
        self.remove_translation = remove_translation

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return a shallow copy of `data` with perturbed `pos` and added `pos_target`."""
        check_positions(data, "CoordNoise")
        pos = data.pos
        with record_function("molspectra::coord_noise"):
            noise = self.std * torch.randn(pos.shape, generator=generator, dtype=pos.dtype, device=pos.device)
            if self.remove_translation:
                # ε minus its mean over the molecule: still Gaussian, orthogonal to translations.
                noise = remove_mean(noise, data.batch, num_molecules_of(data))
            noisy = copy.copy(data)
            noisy.pos = pos + noise
            # The drawn noise rather than the difference of positions, which has lost digits to rounding.
            noisy.pos_target = noise
        return noisy
