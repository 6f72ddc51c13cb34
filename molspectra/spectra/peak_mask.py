"""Random masks over peaks, for masked modelling of lists of peaks."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import check_generator, check_tensors_by_kind, checked
from molspectra.spectra.fields import spectra_of
from molspectra.spectra.peak_axis import PeakAxis, check_peak_axis
from molspectra.spectra.prepared import PreparedSpectra


class PeakMask:
    """Random masks over peaks, the counterpart of :class:`PatchMask` for lists of peaks.

    Each list hides about `mask_ratio` of its peaks, at least one, and shows at least one. A list of one peak hides
    none. Padding and missing lists get no mask.

    Args:
        axes: Axis of each kind that is given as peaks (`specformer.peak_axes`).
        mask_ratio: Share to hide, in [0, 1).

    Raises:
        ValueError: `mask_ratio` is not a share.

    Example:
        >>> mask = PeakMask({"c_nmr": ms.data.PeakAxis("c_nmr", "ppm", (-20, 240))}, mask_ratio=0.5)
        >>> shifts = torch.tensor([[[77.2, 1.0], [128.4, 0.6], [torch.nan, torch.nan]]])
        >>> mask({"c_nmr": shifts}, torch.Generator().manual_seed(0))["c_nmr"].sum()
        tensor(1)
    """

    @checked
    def __init__(self, axes: Mapping[str, PeakAxis], mask_ratio: float = 0.15) -> None:
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"mask_ratio must lie in [0, 1); got {mask_ratio}.")
        for kind, axis in axes.items():
            check_peak_axis(f"axes[{kind!r}]", axis)
        self.axes = dict(axes)
        self.mask_ratio = mask_ratio

    def __call__(
        self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra, generator: torch.Generator | None = None
    ) -> dict[str, Bool[Tensor, "batch peaks"]]:
        """Draw masks for a batch of spectra, True where hidden.

        Args:
            spectra: Kind → peaks (B, K, d + 1), padded with NaN, or molecules with these fields, or spectra that
                `specformer.prepare` has scaled. Kinds without an axis of peaks are left to :class:`PatchMask`.
            generator: Source of randomness, on the spectra's device.

        Returns:
            Kind → (B, K).
        """
        check_generator(generator)
        if isinstance(spectra, PreparedSpectra):
            present = {kind: spectra.measured[kind] for kind in self.axes if kind in spectra.measured}
        else:
            given = spectra_of(spectra, self.axes) if isinstance(spectra, Data) else spectra
            check_tensors_by_kind("spectra", given)
            present = {
                kind: ~given[kind][..., : axis.num_positions + 1].isnan().any(dim=-1)
                for kind, axis in self.axes.items()
                if kind in given
            }
        return {kind: self._draw(known, generator) for kind, known in present.items()}

    def _draw(self, present: Tensor, generator: torch.Generator | None) -> Tensor:
        """Hide some of the peaks of each list, (B, K)."""
        count = present.sum(dim=1, keepdim=True)
        wanted = torch.minimum((self.mask_ratio * count).round().clamp(min=1 if self.mask_ratio > 0 else 0), count - 1)
        draws = torch.rand(tuple(present.shape), generator=generator, dtype=torch.float32, device=present.device)
        # The rank of each peak among those of its list: padding comes last.
        rank = draws.masked_fill(~present, 2.0).argsort(dim=1).argsort(dim=1)
        return present & (rank < wanted)

    def __repr__(self) -> str:
        return f"PeakMask({list(self.axes)}, mask_ratio={self.mask_ratio})"
