"""MolSpectra: denoising, masked-patch reconstruction and 3D-spectra contrast."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._config import Configurable
from molspectra._signature import attribute_of
from molspectra._validation import check_positions, check_weights, needs
from molspectra.encoders.protocol import Encoder
from molspectra.methods.encoding import check_call
from molspectra.methods.pretext_task import run_task
from molspectra.methods.specformer_inside import specformer_inside
from molspectra.methods.spectrum_modelling import SpectrumModelling
from molspectra.objectives.infonce import InfoNCELoss
from molspectra.objectives.weighted_sum import WeightedSum


class MolSpectra(Configurable, SpectrumModelling):
    """Pre-training with energy spectra (Wang et al., ICLR 2025, arXiv:2502.16284), its second stage.

    L = w₁ L_denoising + w₂ L_contrastive + w₃ L_reconstruction, from one pass of each encoder. The 3D encoder reads the
    perturbed molecule. Its atom features give the denoising loss and, summed over atoms, the molecule's side of the
    contrast. SpecFormer reads the masked spectra. Its tokens give the reconstruction and its embedding the other side
    of the contrast. The first stage is `task` alone: pass the same object to both stages.

    Differences from the release, undone by `as_released=True`: masks hide intervals instead of overlapping patches, and
    the contrast is two-sided (see :class:`~molspectra.spectra.PatchMask` and
    :class:`~molspectra.objectives.InfoNCELoss`).

    Args:
        task: The pretext task (Coord, Frad, SliDe, ...), with its trained head of the first stage, also within a
            wrapper.
        specformer: :class:`~molspectra.spectra.SpecFormer`, also within a wrapper.
        molecule_projection: Map from the pooled molecule (B, F) to the space of the spectrum embedding. Default: the
            identity, as published, which needs encoders of equal width.
        mask_ratio: Masked share of each spectrum, and of each list of peaks.
        mask_mode: "interval" (default) or "patch" (as released).
        num_bins: Bins of the positions of hidden peaks. See :class:`~molspectra.spectra.PeakBins`.
        contrast: Contrastive loss. Default: an :class:`~molspectra.objectives.InfoNCELoss` with the negatives of all
            processes, or `as_released` of each process alone.
        weights: Weights of "denoising", "contrastive" and "reconstruction".
        as_released: Released masking and contrast, where not given.

    Raises:
        TypeError: The spectrum encoder is no SpecFormer.
        ValueError: The task makes several copies of each molecule, or the weights are of other losses.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> specformer = ms.spectra.SpecFormer({"ir": 3501}, 50, 25, 32, num_heads=4, out_channels=32)
        >>> method = ms.methods.MolSpectra(ms.methods.Coord(channels=32), specformer)
        >>> sorted(method(encoder, Batch.from_data_list(ms.data.MiniSpectra()[:4])))
        ['contrastive', 'denoising', 'loss', 'reconstruction']
    """

    def __init__(
        self,
        task: nn.Module,
        specformer: nn.Module,
        *,
        molecule_projection: nn.Module | None = None,
        mask_ratio: float = 0.1,
        mask_mode: Literal["interval", "patch"] | None = None,
        num_bins: int = 1024,
        contrast: InfoNCELoss | None = None,
        weights: Mapping[str, float] | None = None,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        inside = specformer_inside(specformer)
        num_copies = attribute_of(task, "num_copies", 1)
        if num_copies != 1:
            raise ValueError(
                f"task must make one copy of each molecule, to contrast with its spectra; got num_copies={num_copies}. "
                "Pass num_copies=1."
            )
        self.task = task
        self.specformer = specformer
        self.molecule_projection = molecule_projection or nn.Identity()
        self._build(inside, mask_ratio, mask_mode or ("patch" if as_released else "interval"), num_bins)
        self.contrast = contrast or InfoNCELoss(gather_distributed=not as_released, as_released=as_released)
        self.total = WeightedSum(check_weights(weights, {"denoising": 1.0, "contrastive": 1.0, "reconstruction": 1.0}))

    @needs("encoder", "batch", form="method(encoder, batch)")
    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute the three losses of a batch and their weighted sum.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`. It receives bonds if its signature has them.
            batch: Molecules with `z`, `pos` and a (B, L) or (B, K, d + 1) field per kind of spectrum. Rows of NaN and
                absent fields are missing spectra. Molecules without any spectrum take part in the denoising only.
            generator: Source of randomness, on the batch's device.

        Returns:
            {"loss", "denoising", "contrastive", "reconstruction"}, scalars.

        Raises:
            ValueError: The batch has no spectrum of SpecFormer's kinds, the task returns another number of molecules,
                or the widths of the encoders differ.
        """
        check_call(self, encoder, batch, generator)
        check_positions(batch, type(self).__name__, ("z", "pos"))
        specformer = specformer_inside(self.specformer)
        prepared = specformer.prepare(batch)  # scaled once, for the mask, SpecFormer and the target
        output = run_task(self.task, encoder, batch, generator)
        num_molecules = num_molecules_of(batch)
        if (altered := num_molecules_of(output.data)) != num_molecules:
            raise ValueError(
                f"task must return the molecules of the batch, to contrast with their spectra; got {altered} molecules "
                f"for {num_molecules}. Return data with one altered copy of each molecule, in order."
            )
        molecules = self.molecule_projection(output.atoms.pool(output.data.batch, num_molecules=num_molecules))
        with record_function("molspectra::mask"):
            masked = self._hide(prepared, generator)
        # One pass serves both losses: the contrast, too, sees masked spectra and perturbed molecules.
        features = self.specformer(prepared, masked)
        with record_function("molspectra::loss"):
            reconstruction = self._compare(specformer, features, prepared, masked)
            # A molecule without any spectrum has a constant embedding, which is neither a positive nor a negative.
            contrastive = self.contrast(molecules, features.embedding, valid=features.valid.any(dim=1))
            return self.total({"denoising": output.loss, "contrastive": contrastive, "reconstruction": reconstruction})
