"""SE(3)-DDM: pre-training by denoising the distances of another view of the molecule."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import molecule_of
from molspectra._transforms import in_eager_mode
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.distance_score import DistanceScoreHead
from molspectra.methods.encoding import encode
from molspectra.methods.pretext_task import PretextTask, TaskOutput
from molspectra.noise.coord import CoordNoise
from molspectra.noise.distance import DistanceNoise, Pairs
from molspectra.objectives.distance_score import DistanceScoreLoss


class SE3DDM(PretextTask):
    """Geometric self-supervised learning by SE(3)-invariant denoising distance matching (SE(3)-DDM, also GeoSSL-DDM).

    Liu, Guo, Tang, ICLR 2023, arXiv:2206.13602. A second view of each molecule has Gaussian noise on its positions.
    From the atom features of each view, a score network denoises the *distances of the other view*, to which noise
    between 0.01 and 10 Å was added. The loss is the mean of both directions.

    The task reads rotation-invariant features alone, so that any encoder fits, and predicts no vectors. A step encodes
    two molecules.

    Args:
        channels: Width F of the encoder's features (`encoder.out_channels`).
        std: Standard deviation of the position noise of the second view in Å. With a pair (low, high), each molecule
            draws its own.
        max_std: Largest noise of distances in Å. See :class:`~molspectra.noise.DistanceNoise`.
        min_std: Smallest noise of distances in Å.
        num_levels: Number of levels of this noise. The release trains with 30 and 50.
        pairs: "unordered" or "ordered" pairs of atoms.
        ratio: Share of the pairs of each molecule that is denoised.
        anneal_power: Exponent β of the weight σ^β of a level. The release trains with 0.05, 2, 5 and 10. Only 2 weighs
            the levels alike (see :class:`~molspectra.objectives.DistanceScoreLoss`).
        reduce: "molecule", "pair" or "sum". Default: "molecule", or "sum" `as_released`.
        as_released: Reproduce the released arithmetic. Heads read scalars alone, so that weights that shape vectors
            only get no gradient. Pairs are summed over a molecule, which weighs a molecule of n atoms like n². Lone
            atoms count as molecules unless they are at the end of the batch.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> pretrain = ms.methods.SE3DDM(channels=32)
        >>> losses = pretrain(encoder, Batch.from_data_list(list(ms.data.MiniSpectra()[:4])))
        >>> sorted(losses)
        ['clean_to_noisy', 'loss', 'noisy_to_clean']
    """

    def __init__(
        self,
        channels: int,
        std: float | Sequence[float] = 0.3,
        *,
        max_std: float = 10.0,
        min_std: float = 0.01,
        num_levels: int = 50,
        pairs: Pairs = "unordered",
        ratio: float = 1.0,
        anneal_power: float = 2.0,
        reduce: Literal["molecule", "pair", "sum"] | None = None,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        self.noise = CoordNoise(std)
        self.distance_noise = DistanceNoise(max_std, min_std, num_levels, pairs, ratio, as_released=as_released)
        # Separate weights: one reads molecules without noise on their positions, the other one those with it.
        self.head = DistanceScoreHead(channels, as_released)
        self.noisy_head = DistanceScoreHead(channels, as_released)
        self.objective = DistanceScoreLoss(anneal_power, reduce, as_released=as_released)

    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Perturb positions, encode both views, denoise the distances of the other view, compare."""
        with record_function("molspectra::noise"):
            view = in_eager_mode(self.noise, batch, generator)
            noisy_view = in_eager_mode(self.distance_noise, view, generator)
            noisy_batch = in_eager_mode(self.distance_noise, batch, generator)
        clean, atoms = encode(encoder, batch), encode(encoder, view)
        losses = {
            "clean_to_noisy": self._compare(self.head, clean, noisy_view),
            "noisy_to_clean": self._compare(self.noisy_head, atoms, noisy_batch),
        }
        return TaskOutput((losses["clean_to_noisy"] + losses["noisy_to_clean"]) / 2, atoms, view, losses)

    def _compare(self, head: nn.Module, atoms: AtomFeatures, noisy: Data) -> Tensor:
        with record_function("molspectra::head"):
            score = head(atoms, noisy)
        with record_function("molspectra::loss"):
            molecule = molecule_of(noisy).index_select(0, noisy.pair_index[0])
            return self.objective(score, noisy.score_target, noisy.noise_scale, molecule)
