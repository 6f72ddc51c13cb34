"""Masked modelling of spectra alone: reconstruction of the hidden parts of spectra from the visible ones."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import check_generator
from molspectra.encoders.protocol import Encoder
from molspectra.methods.specformer_inside import specformer_inside
from molspectra.methods.spectrum_modelling import SpectrumModelling
from molspectra.spectra.prepared import PreparedSpectra

Spectra: TypeAlias = Data | Mapping[str, Any] | PreparedSpectra


class MaskedReconstruction(Configurable, SpectrumModelling):
    """Masked modelling of spectra, L_reconstruction of MolSpectra (Wang et al., ICLR 2025, arXiv:2502.16284) alone.

    SpecFormer reads spectra with hidden intervals, and a linear map per kind reconstructs them from its tokens. In
    lists of peaks it predicts the positions of hidden peaks, as a distribution, and their intensities (see
    :class:`~molspectra.spectra.PeakDecoder` and :class:`~molspectra.objectives.MaskedPeakLoss`). No molecule is
    encoded, so that spectra without geometries can pre-train SpecFormer. Both call forms give the same losses:
    `method(batch)`, and `method(encoder, batch)` as of all methods, which ignores the encoder.

    Args:
        specformer: :class:`~molspectra.spectra.SpecFormer`, also within a wrapper.
        mask_ratio: Masked share of each spectrum, and of each list of peaks.
        mask_mode: "interval" or "patch" (as released). See :class:`~molspectra.spectra.PatchMask`.
        num_bins: Bins of the positions of hidden peaks. See :class:`~molspectra.spectra.PeakBins`.

    Raises:
        TypeError: The spectrum encoder is no SpecFormer.

    Example:
        >>> specformer = ms.spectra.SpecFormer(ms.data.MiniSpectra.axes, hidden_channels=32, num_heads=4)
        >>> method = MaskedReconstruction(specformer)
        >>> sorted(method(Batch.from_data_list(ms.data.MiniSpectra()[:4])))
        ['loss', 'reconstruction']
    """

    needs_encoder = False

    def __init__(
        self,
        specformer: nn.Module,
        *,
        mask_ratio: float = 0.1,
        mask_mode: Literal["interval", "patch"] = "interval",
        num_bins: int = 1024,
    ) -> None:
        super().__init__()
        inside = specformer_inside(specformer)
        self.specformer = specformer
        self._build(inside, mask_ratio, mask_mode, num_bins)

    def forward(
        self,
        encoder: Encoder | Spectra | None,
        batch: Spectra | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Compute the reconstruction loss of a batch.

        Args:
            encoder: Ignored, and None for none. All methods share one call form. A call with one argument takes it as
                the batch.
            batch: Molecules with a (B, L) or (B, K, d + 1) field for some kinds of spectrum, or a dict of these. Rows
                of NaN and absent kinds are missing spectra.
            generator: Source of randomness, on the batch's device.

        Returns:
            {"loss", "reconstruction"}, the same scalar twice.

        Raises:
            TypeError: The batch is neither molecules nor a dict of spectra.
            ValueError: It has no spectrum of SpecFormer's kinds.
        """
        spectra = encoder if batch is None else batch
        if not isinstance(spectra, Data | Mapping | PreparedSpectra):
            raise TypeError(
                "batch must be a Data or Batch with fields of spectra, or a dict of them; got a "
                f"{type(spectra).__name__}. Call method(batch), or method(encoder, batch) as other methods."
            )
        check_generator(generator)
        specformer = specformer_inside(self.specformer)
        prepared = specformer.prepare(spectra)
        with record_function("molspectra::mask"):
            masked = self._hide(prepared, generator)
        features = self.specformer(prepared, masked)
        with record_function("molspectra::loss"):
            loss = self._compare(specformer, features, prepared, masked)
            # The weights of the embedding get gradients of 0, so that DistributedDataParallel does not wait for them.
            loss = loss + 0.0 * features.embedding.sum()
        return {"loss": loss, "reconstruction": loss}
