"""Prediction of spectra from the geometry of a molecule."""

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra.encoders.protocol import Encoder
from molspectra.heads.spectrum import SpectrumHead
from molspectra.methods.encoding import encode
from molspectra.objectives.spectrum import SpectrumLoss


class SpectrumPrediction(Configurable, nn.Module):
    """Regression of spectra as labels, from scratch or from a pre-trained encoder.

    Args:
        head: Head that predicts the spectra. Call its `start_from` with the training spectra first.
        objective: Loss of predicted and given spectra by kind. Default: a new
            :class:`~molspectra.objectives.SpectrumLoss`.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> method = ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(32, {"uv_vis": 601, "ir": 3501}))
        >>> sorted(method(encoder, Batch.from_data_list(ms.data.MiniSpectra()[:4])))
        ['ir', 'loss', 'uv_vis']
    """

    def __init__(self, head: SpectrumHead, objective: nn.Module | None = None) -> None:
        super().__init__()
        self.head = head
        self.objective = objective or SpectrumLoss()

    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute the error of the spectra of a batch.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`. It receives bonds if its signature has them.
            batch: Molecules with `z`, `pos` and a (B, L) field for some kinds of the head. Rows of NaN are missing.
            generator: Ignored. All methods share one call form.

        Returns:
            {"loss": their sum, kind: its error}, scalars, 0 for an absent kind.

        Raises:
            ValueError: The batch has no spectrum of the kinds of the head, or one of another length.
        """
        if not any(kind in batch for kind in self.head.lengths):
            raise ValueError(
                f"The batch has none of the spectra {list(self.head.lengths)}, only {list(batch.keys())}. To predict "
                "without comparing call predict."
            )
        predicted = self.predict(encoder, batch)
        # An absent kind counts as missing for every molecule: its weights get gradients of 0, so that
        # DistributedDataParallel does not wait for them.
        parts = {}
        with record_function("molspectra::loss"):
            for kind, of_kind in predicted.items():
                given = batch[kind] if kind in batch else torch.full_like(of_kind, torch.nan)
                parts[kind] = self.objective({kind: of_kind}, {kind: given})
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def predict(self, encoder: Encoder, batch: Data) -> dict[str, Tensor]:
        """Predict kind → intensities (B, L) of the molecules of a batch, which need no spectra."""
        atoms = encode(encoder, batch)
        with record_function("molspectra::head"):
            return self.head(atoms, batch)
