"""Predicting a molecule's spectra from its geometry."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._config import Configurable
from molspectra.encoders.protocol import Encoder
from molspectra.heads.spectrum import SpectrumHead
from molspectra.methods.encoding import encode
from molspectra.objectives.spectrum import SpectrumLoss


class SpectrumPrediction(Configurable, nn.Module):
    """Encode, predict spectra, compare: training on spectra as labels, or what to do with a pre-trained encoder.

    Args:
        head: Predicts the spectra; call its `start_from` with the training spectra first.
        objective: Maps predicted and given spectra, by kind, to a scalar; by default a new
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
        """The error of the spectra of a batch.

        Args:
            encoder: Maps (z, pos, batch) to atom features; bonds are handed over if it takes them.
            batch: Molecules with `z`, `pos` and a (B, L) field for some of the head's kinds; rows of NaN are missing.
            generator: Ignored; methods share one signature.

        Returns:
            {"loss": their sum, kind: its error}, scalars; 0 for a kind that the batch does not have.

        Raises:
            ValueError: the batch has no field of any of the head's kinds, or one has another length.
        """
        if not any(kind in batch for kind in self.head.lengths):
            raise ValueError(
                f"The batch has none of the spectra {list(self.head.lengths)}, only {list(batch.keys())}. To predict "
                "without comparing call predict."
            )
        predicted = self.predict(encoder, batch)
        # A kind that is absent is missing for every molecule, not left out: its weights get gradients of 0, and other
        # processes do not wait for them.
        parts = {}
        for kind, of_kind in predicted.items():
            given = batch[kind] if kind in batch else torch.full_like(of_kind, torch.nan)
            parts[kind] = self.objective({kind: of_kind}, {kind: given})
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def predict(self, encoder: Encoder, batch: Data) -> dict[str, Tensor]:
        """Kind → intensities (B, L) of the molecules of a batch, which need no spectra."""
        return self.head(encode(encoder, batch), batch.batch, num_molecules_of(batch))
