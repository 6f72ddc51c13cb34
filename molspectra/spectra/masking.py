"""Random masks for masked-patch reconstruction."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import check_choice, check_generator, check_tensor, check_tensors_by_kind, checked
from molspectra.spectra.fields import spectra_of
from molspectra.spectra.patching import SpectrumPatcher
from molspectra.spectra.prepared import PreparedSpectra


class PatchMask:
    """Random masks for masked-patch reconstruction (MolSpectra §3.2, arXiv:2502.16284).

    `mode="interval"` hides intervals of the axis, each one patch long and at a random place, that together cover about
    `mask_ratio` of it (in whole intervals, at least one). Masks are (B, L) over samples, applied before patching.
    `mode="patch"` hides whole patches, as the released code does. Masks are (B, n) over patches, applied after
    patching. Neighboring patches overlap, so that most hidden samples stay visible there: at the released settings
    (stride of half a patch, ratio 0.1) 82 % of the hidden patches can be read off their neighbors. In interval mode no
    hidden sample is visible anywhere.

    The number of hidden patches (or intervals) is the same for every complete spectrum. Missing spectra get no mask,
    and neither do patches with a missing sample nor the samples in them.

    Args:
        patchers: Patcher of each kind of spectrum (`specformer.patchers`).
        mask_ratio: Share to hide, in [0, 1).
        mode: "interval" or "patch".

    Raises:
        ValueError: `mask_ratio` or `mode` is not one of those.

    Example:
        >>> mask = PatchMask({"ir": SpectrumPatcher(3501, 50, 25)}, mask_ratio=0.1)
        >>> hidden = mask({"ir": torch.rand(4, 3501)}, generator=torch.Generator().manual_seed(0))
        >>> hidden["ir"].shape
        torch.Size([4, 3501])
    """

    @checked
    def __init__(
        self,
        patchers: Mapping[str, SpectrumPatcher],
        mask_ratio: float = 0.1,
        mode: Literal["interval", "patch"] = "interval",
    ) -> None:
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"mask_ratio must lie in [0, 1); got {mask_ratio}.")
        check_choice("mode", mode, ("interval", "patch"))
        self.patchers = dict(patchers)
        self.mask_ratio = mask_ratio
        self.mode = mode

    def __call__(
        self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra, generator: torch.Generator | None = None
    ) -> dict[str, Bool[Tensor, "batch positions"]]:
        """Draw masks for a batch of spectra, True where hidden.

        Args:
            spectra: Kind → (B, L), NaN where nothing was measured, or molecules with these fields, or spectra that
                `specformer.prepare` has scaled.
            generator: Source of randomness, on the spectra's device.

        Returns:
            Kind → (B, L) in interval mode, (B, n) in patch mode.

        Raises:
            ValueError: a kind is unknown, or a spectrum has another length.
        """
        check_generator(generator)
        if isinstance(spectra, Data):
            spectra = spectra_of(spectra, self.patchers)
        if isinstance(spectra, PreparedSpectra):
            # Those of other forms, peaks and precursors, are left to PeakMask.
            parts = (spectra.scaled, spectra.measured)
            spectra, measured = ({k: v for k, v in part.items() if k in self.patchers} for part in parts)
            # They may have been read on another range than that of the encoder.
            lengths = {kind: spectrum.shape[1] for kind, spectrum in spectra.items()}
        else:
            check_tensors_by_kind("spectra", spectra)
            lengths = {}
            measured = {kind: spectrum.isfinite() for kind, spectrum in spectra.items()}
        draw = self._intervals if self.mode == "interval" else self._patches
        masks = {}
        for kind, spectrum in spectra.items():
            if kind not in self.patchers:
                raise ValueError(
                    f"No patcher for the kind {kind!r}; expected some of {sorted(self.patchers)}. Peaks have PeakMask."
                )
            patcher = self.patchers[kind]
            patcher = patcher.resized(lengths.get(kind, patcher.length))
            patcher.check_length(spectrum)
            # Masks of missing spectra are drawn too and then discarded: to skip them would mean to wait for the device.
            hideable = patcher.untouched if self.mode == "interval" else patcher.complete
            masks[kind] = draw(patcher, spectrum, generator) & hideable(measured[kind])
        return masks

    def _patches(self, patcher: SpectrumPatcher, spectrum: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw whole patches to hide, (B, n)."""
        size = (spectrum.shape[0], patcher.num_patches)
        return mask_largest(
            torch.rand(size, generator=generator, dtype=torch.float32, device=spectrum.device), self.mask_ratio
        )

    def _intervals(self, patcher: SpectrumPatcher, spectrum: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw intervals of one patch length to hide, (B, L)."""
        batch_size, length, width = spectrum.shape[0], patcher.length, patcher.patch_len
        device = spectrum.device
        num_hidden = round(self.mask_ratio * length / width)
        if self.mask_ratio > 0:
            num_hidden = max(num_hidden, 1)
        # Tile the axis with intervals of one patch length, and hide some of the tiles. The random shift of the tiles
        # keeps the edges of intervals from always falling at the same energies.
        shift = torch.randint(width, (batch_size, 1), generator=generator, device=device)
        tile = (torch.arange(length, device=device) + shift) // width
        draws = torch.rand(
            (batch_size, (length + width - 2) // width + 1), generator=generator, dtype=torch.float32, device=device
        )
        # The shift decides how many tiles reach the axis. Those beyond its end must not use up hidden intervals.
        draws = draws.masked_fill(torch.arange(draws.shape[1], device=device) > tile[:, -1:], -1.0)
        rank = draws.argsort(dim=1, descending=True).argsort(dim=1)
        return rank.gather(1, tile) < num_hidden

    def __repr__(self) -> str:
        return f"PatchMask({list(self.patchers)}, mask_ratio={self.mask_ratio}, mode={self.mode!r})"


def mask_largest(draws: Float[Tensor, "batch patches"], mask_ratio: float) -> Bool[Tensor, "batch patches"]:
    """Keep the int(n·(1 - ratio)) smallest draws of each row and mask the others, as the released code counts.

    Args:
        draws: Random numbers, (B, n).
        mask_ratio: Share to mask.

    Returns:
        True where masked, (B, n).
    """
    check_tensor("draws", draws)
    num_kept = int(draws.shape[1] * (1 - mask_ratio))
    # The rank of each draw in its row: the position of its index in the sorted order.
    return draws.argsort(dim=1).argsort(dim=1) >= num_kept
