"""Gaussian noise on the distances between the atoms of a molecule, on a ladder of scales."""

import copy
import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from molspectra._batch import molecule_of, num_molecules_of
from molspectra._config import Configurable
from molspectra._validation import check_choice, check_generator, check_positions
from molspectra.geometry.neighbors import edge_geometry, half_neighbor_list, radius_graph
from molspectra.noise.ladder import check_ladder, check_levels, scale_of

Pairs = Literal["unordered", "ordered"]


class DistanceNoise(Configurable):
    """Noise d̃ = d + σ ε on pairwise distances, ε ~ N(0, 1) (SE(3)-DDM, Liu et al. 2023, arXiv:2206.13602).

    Each molecule draws a scale σ from a geometric ladder, `max_std` at level 0 down to `min_std`. Each pair of its
    atoms draws its own ε, at any distance. The noisy distances fit no geometry together and may be negative. Positions
    stay as they are. Added fields:

    ================  ======  =========================================================================
    `pair_index`      (2, P)  atoms i and j of each pair, sorted
    `noisy_distance`  (P,)    d̃ in Å
    `score_target`    (P,)    score ∂ log N(d̃; d, σ²) / ∂d̃ in units of 1/σ, which is -ε
    `noise_level`     (B,)    level of each molecule, int64
    `noise_scale`     (B,)    σ in Å, in float32 precision
    ================  ======  =========================================================================

    The number of pairs has to be known to the host, for which it waits for the device once, and twice with a `ratio`.

    Args:
        max_std: Largest σ in Å.
        min_std: Smallest σ in Å.
        num_levels: Number of levels.
        pairs: "unordered" takes each pair of atoms once, "ordered" in both orders with independent noise.
        ratio: Share of the pairs of each molecule that is kept, rounded down, but at least one pair. It is drawn anew
            in each call.
        as_released: Round the share down to zero pairs as well, as for water at the ratio 0.1 of the release.

    Raises:
        ValueError: The scales are not 0 < min_std ≤ max_std < ∞, `num_levels` is below 1, `pairs` is neither, or
            `ratio` is not in (0, 1].

    Example:
        >>> noisy = DistanceNoise()(Batch.from_data_list(list(ms.data.MiniSpectra()[:4])))
        >>> noisy.pair_index.shape[1] == len(noisy.noisy_distance), noisy.noise_scale.shape
        (True, torch.Size([4]))
    """

    def __init__(
        self,
        max_std: float = 10.0,
        min_std: float = 0.01,
        num_levels: int = 50,
        pairs: Pairs = "unordered",
        ratio: float = 1.0,
        *,
        as_released: bool = False,
    ) -> None:
        check_ladder(max_std, min_std, num_levels)
        check_choice("pairs", pairs, ("unordered", "ordered"))
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio must be in (0, 1], a share of the pairs of each molecule; got {ratio}.")
        self.max_std = max_std
        self.min_std = min_std
        self.num_levels = num_levels
        self.pairs = pairs
        self.ratio = ratio
        self.as_released = as_released

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return a shallow copy of `data` with pairs, their noisy distances and the level of each molecule."""
        check_positions(data, "DistanceNoise")
        check_generator(generator)
        options = {"generator": generator, "device": data.pos.device}
        with record_function("molspectra::distance_noise"):
            level = torch.randint(self.num_levels, (num_molecules_of(data),), **options)
            pair_index = self.draw_pairs(data, generator)
            normals = torch.randn(pair_index.shape[1], dtype=data.pos.dtype, **options)
            return self.perturb(data, level, pair_index, normals)

    def draw_pairs(self, data: Data, generator: torch.Generator | None = None) -> Int[Tensor, "2 pairs"]:
        """List the pairs of atoms of one molecule, or draw a share of them, (2, P)."""
        # Every pair of a molecule counts, however far: score matching is about distances, not about neighbors.
        list_pairs = half_neighbor_list if self.pairs == "unordered" else radius_graph
        pairs = list_pairs(data.pos, data.batch, math.inf)
        if self.ratio == 1:
            return pairs
        molecule = molecule_of(data).index_select(0, pairs[0])
        shuffled = torch.randperm(len(molecule), generator=generator, device=molecule.device)
        # Pairs in a random order, grouped by molecule: the first ones of each group are draws without replacement.
        shuffled = shuffled.index_select(0, molecule.index_select(0, shuffled).argsort(stable=True))
        number = scatter(torch.ones_like(molecule), molecule, dim_size=num_molecules_of(data), reduce="sum")
        kept = (self.ratio * number.double()).long()
        kept = kept if self.as_released else kept.clamp(min=1)
        before = (number.cumsum(0) - number).index_select(0, molecule)
        rank = torch.arange(len(molecule), device=molecule.device) - before
        first = (rank < kept.index_select(0, molecule)).nonzero().squeeze(1)
        return pairs.index_select(1, shuffled.index_select(0, first).sort().values)

    def perturb(
        self,
        data: Data,
        noise_level: Int[Tensor, " molecules"],
        pair_index: Int[Tensor, "2 pairs"],
        normals: Float[Tensor, " pairs"],
    ) -> Data:
        """Perturb with given levels (B,), pairs (2, P), both atoms of one molecule, and ε (P,).

        Raises:
            TypeError: The levels are not int64.
            ValueError: The number of levels is not that of molecules, a level is out of range (checked for CPU
                tensors), or the number of normals is not that of pairs.
        """
        check_levels(noise_level, num_molecules_of(data), self.num_levels)
        if normals.shape != pair_index.shape[1:]:
            raise ValueError(
                f"normals must have shape {tuple(pair_index.shape[1:])}, one per pair; got {tuple(normals.shape)}."
            )
        noisy = copy.copy(data)
        noisy.noise_level = noise_level
        noisy.noise_scale = scale_of(noise_level, self.max_std, self.min_std, self.num_levels).to(data.pos.dtype)
        noisy.pair_index = pair_index
        scale = noisy.noise_scale.index_select(0, molecule_of(data).index_select(0, pair_index[0]))
        noisy.noisy_distance = edge_geometry(data.pos, pair_index)[0] + scale * normals
        noisy.score_target = -normals
        return noisy
