"""Prediction of spectra from the geometry of a molecule."""

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._signature import attribute_of, unwrap
from molspectra._validation import needs
from molspectra.encoders.protocol import Encoder
from molspectra.heads.stick import StickHead
from molspectra.methods.encoding import check_call, encode
from molspectra.methods.stick_fields import sticks_of
from molspectra.objectives.spectrum import SpectrumLoss


class SpectrumPrediction(Configurable, nn.Module):
    """Regression of spectra as labels, from scratch or from a pre-trained encoder.

    Args:
        head: Head that predicts the spectra, :class:`~molspectra.heads.SpectrumHead` or
            :class:`~molspectra.heads.StickHead`, also within a wrapper. Call its `start_from` with the training data
            first.
        objective: Loss of predicted and given spectra by kind. Default: a new
            :class:`~molspectra.objectives.SpectrumLoss`.
        sticks: Loss of the lines of a `StickHead`, :class:`~molspectra.objectives.StickLoss`, or None for none. The
            batch then has the lines of its molecules: `sticks` (S, 1 + kinds), position and intensity of each kind of
            the head, and `num_sticks` (B,), their number in each molecule. NaN intensities are unknown.

    Raises:
        TypeError: `sticks` is given, and the head predicts none, or is within a wrapper.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> method = ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(32, {"uv_vis": 601, "ir": 3501}))
        >>> sorted(method(encoder, Batch.from_data_list(ms.data.MiniSpectra()[:4])))
        ['ir', 'loss', 'uv_vis']
    """

    def __init__(self, head: nn.Module, objective: nn.Module | None = None, sticks: nn.Module | None = None) -> None:
        super().__init__()
        if sticks is not None:
            _check_stick_head(head)
        self.head = head
        self.objective = objective or SpectrumLoss()
        self.sticks = sticks

    @needs("encoder", "batch", form="method(encoder, batch)")
    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute the error of the spectra of a batch.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`. It receives bonds if its signature has them.
            batch: Molecules with `z`, `pos` and a (B, L) field for some kinds of the head. Rows of NaN are missing.
            generator: Ignored. All methods share one call form.

        Returns:
            {"loss": their sum, kind: its error}, scalars, 0 for an absent kind. With a loss of lines, "sticks" as well.

        Raises:
            ValueError: The batch has no spectrum of the kinds of the head, or one of another length, or its lines are
                missing or do not fit.
        """
        check_call(self, encoder, batch, generator)
        kinds = list(attribute_of(self.head, "lengths"))
        if self.sticks is None and not any(kind in batch for kind in kinds):
            raise ValueError(
                f"The batch has none of the spectra {kinds}, only {list(batch.keys())}. To predict without comparing "
                "call predict."
            )
        parts = {}
        if self.sticks is None:
            predicted = self.predict(encoder, batch)
        else:
            head = _check_stick_head(self.head)
            lines = head.sticks(encode(encoder, batch), batch)
            parts["sticks"] = self.sticks(lines, sticks_of(batch, head.axes))
            predicted = head.broaden(lines)
        # An absent kind counts as missing for every molecule: its weights get gradients of 0, so that
        # DistributedDataParallel does not wait for them.
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


def _check_stick_head(head: nn.Module) -> StickHead:
    """Return a head that predicts lines. It is not called as a whole, past which no wrapper may be led.

    Raises:
        TypeError: it is no such head, or a wrapper of one.
    """
    if not isinstance(head, StickHead):
        wrapped = " around it: wrap the TrainingModule instead" if isinstance(unwrap(head), StickHead) else ""
        raise TypeError(
            f"sticks needs a head that predicts lines, heads.StickHead; got a {type(head).__name__}{wrapped}."
        )
    return head
