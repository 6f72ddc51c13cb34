"""SCD: denoising of a molecule conditioned on an embedding of its clean form."""

import torch
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._signature import attribute_of
from molspectra._transforms import in_eager_mode
from molspectra._validation import check_std
from molspectra.encoders.protocol import Encoder
from molspectra.heads.molecule_embedding import MoleculeEmbeddingHead
from molspectra.methods.denoising import Prediction, make_vector_head, predict_vectors
from molspectra.methods.encoding import encode
from molspectra.methods.molecule_condition import MoleculeCondition
from molspectra.methods.pretext_task import PretextTask, TaskOutput
from molspectra.noise.coord import CoordNoise
from molspectra.objectives.denoising import DenoisingLoss


class SCD(PretextTask):
    """Self-conditioned denoising (SCD, Perez & Gómez-Bombarelli 2026, arXiv:2603.17196).

    The encoder runs twice with the same weights. From a nearly clean view of the molecule it makes an embedding of the
    whole molecule. In a second pass, conditioned on this embedding, it predicts the noise of a perturbed view. The
    embedding helps to denoise if it tells what the molecule is, also away from equilibrium, where the perturbed view
    alone does not tell which structure it came from. Gradients flow through both passes.

    The condition is the encoder's `context`, added to its initial scalars. A fifth of the molecules of each step lose
    it, and the first pass has none, so the encoder works without.

    Args:
        channels: Width F of the encoder's features (`encoder.out_channels`).
        std: Standard deviation σ of the noise that is predicted, in Å.
        first_std: That of the view from which the embedding is made, in Å. It regularizes.
        remove_translation: Subtract the mean displacement of each molecule, which cannot be predicted.
        dropout: Probability that a molecule loses its condition.
        prediction: "vector" reads the encoder's vectors, "gradient" differentiates an energy and fits any encoder.
        as_released: Reproduce the released arithmetic. A frozen random row takes the place of a condition (see
            :class:`.MoleculeCondition`), the embedding reads scalars alone, and head and normalizer are those released.
            The released *encoder*, whose vector norm is not equivariant, is not part of this.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> pretrain = ms.methods.SCD(channels=32)
        >>> losses = pretrain(encoder, Batch.from_data_list(list(ms.data.MiniSpectra()[:4])))
        >>> sorted(losses)
        ['denoising', 'loss']
    """

    def __init__(
        self,
        channels: int,
        std: float = 0.04,
        *,
        first_std: float = 0.005,
        remove_translation: bool = True,
        dropout: float = 0.2,
        prediction: Prediction = "vector",
        as_released: bool = False,
    ) -> None:
        check_std("first_std", first_std, "Å")
        super().__init__()
        self.noise = CoordNoise(std, remove_translation)
        self.first_noise = CoordNoise(first_std)
        self.embedding_head = MoleculeEmbeddingHead(channels, as_released)
        self.condition = MoleculeCondition(channels, dropout, as_released)
        self.head = make_vector_head(channels, prediction, as_released)
        self.objective = DenoisingLoss(as_released=as_released)

    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Embed one view, denoise the other one under this condition, compare."""
        with record_function("molspectra::noise"):
            first = in_eager_mode(self.first_noise, batch, generator)
            noisy = in_eager_mode(self.noise, batch, generator)
        clean = encode(encoder, first, context=attribute_of(self.condition, "without")(first))
        with record_function("molspectra::head"):
            embedding = self.embedding_head(clean, batch)
            context = self.condition(embedding, batch, generator)
        # Without a stop of the gradient: the embedding is trained by what it contributes to the second pass.
        predicted, atoms = predict_vectors(encoder, self.head, noisy, context)
        with record_function("molspectra::loss"):
            loss = self.objective(predicted, noisy.pos_target)
        return TaskOutput(loss, atoms, noisy, {"denoising": loss})
