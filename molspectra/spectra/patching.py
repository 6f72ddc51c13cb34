"""Cutting spectra into overlapping patches."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_sizes, check_tensor


class SpectrumPatcher(Configurable, nn.Module):
    """Windows of `patch_len` samples, one every `stride` samples, without padding (MolSpectra §3.2, arXiv:2502.16284).

    Samples behind the last whole window are left out.

    Args:
        length: Samples in a spectrum, L.
        patch_len: Samples in a patch, P.
        stride: Samples between the starts of neighboring patches, D.

    Raises:
        ValueError: no whole patch fits, or a size is not positive.

    Example:
        >>> patcher = SpectrumPatcher(length=601, patch_len=20, stride=10)
        >>> patcher.num_patches, patcher(torch.rand(2, 601)).shape
        (59, torch.Size([2, 59, 20]))
    """

    def __init__(self, length: int, patch_len: int, stride: int) -> None:
        super().__init__()
        check_sizes(patch_len=patch_len, stride=stride)
        if patch_len > length:
            raise ValueError(f"patch_len must be at most the spectrum's length {length}; got {patch_len}.")
        self.length = length
        self.patch_len = patch_len
        self.stride = stride

    @property
    def num_patches(self) -> int:
        """Number of patches, n = ⌊(L - P) / D⌋ + 1."""
        return self.count(self.length)

    def count(self, length: int) -> int:
        """Return the number of patches in a spectrum of another length."""
        return (length - self.patch_len) // self.stride + 1

    @property
    def centers(self) -> Float[Tensor, " patches"]:
        """Center of each patch, in samples, (n,) float64 on the CPU."""
        starts = self.stride * torch.arange(self.num_patches, dtype=torch.float64, device="cpu")
        return starts + (self.patch_len - 1) / 2

    def forward(self, spectrum: Shaped[Tensor, "batch length"]) -> Shaped[Tensor, "batch patches patch_len"]:
        """Cut spectra (B, L) into patches (B, n, P), a view of the input."""
        self.check_length(spectrum)
        return self.cut(spectrum)

    def cut(self, spectrum: Shaped[Tensor, "batch samples"]) -> Shaped[Tensor, "batch patches patch_len"]:
        """Cut spectra of any length into patches of P samples, a view of the input."""
        # A view: overlapping patches take no memory until they are projected to tokens.
        return spectrum.unfold(-1, self.patch_len, self.stride)

    def resized(self, length: int) -> "SpectrumPatcher":
        """Return the patcher of equal patches for spectra of another length."""
        return self if length == self.length else SpectrumPatcher(length, self.patch_len, self.stride)

    def expand(self, masked: Bool[Tensor, "batch positions"]) -> Bool[Tensor, "batch patches patch_len"]:
        """Turn a mask over patches (B, n) or samples (B, L) into one over the samples of each patch (B, n, P)."""
        # n = L only if patch and stride are one sample long, where both readings of the mask agree.
        if masked.shape[-1] == self.num_patches:
            return masked.unsqueeze(-1).expand(-1, -1, self.patch_len)
        self.check_length(masked)
        return masked.unfold(-1, self.patch_len, self.stride)

    def complete(self, measured: Bool[Tensor, "batch samples"]) -> Bool[Tensor, "batch patches"]:
        """Return which patches were measured in all of their samples, from the samples that were, of any number."""
        return self.cut(measured).all(dim=-1)

    def untouched(self, measured: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch length"]:
        """Return the measured samples (B, L) that lie in no incomplete patch, and may therefore be hidden."""
        starts = torch.zeros_like(measured, dtype=torch.int64)
        starts[:, : self.num_patches * self.stride : self.stride] = (~self.complete(measured)).long()
        # The number of incomplete patches that begin at a sample or less than a patch before it.
        begun = nn.functional.pad(starts.cumsum(dim=1), (self.patch_len, 0))
        return measured & (begun[:, self.patch_len :] == begun[:, : -self.patch_len])

    def hide(
        self, spectrum: Float[Tensor, "batch samples"], masked: Tensor, name: str = "masked"
    ) -> Float[Tensor, "batch patches patch_len"]:
        """Cut spectra of any length into patches, the hidden part of which is 0.

        Args:
            spectrum: Intensities, (B, L).
            masked: True where hidden, over samples (B, L) or over patches (B, n).
            name: Name of the mask in errors.

        Raises:
            TypeError: the mask is not bool.
            ValueError: it has another shape.
        """
        if masked.dtype != torch.bool:
            raise TypeError(f"{name} must be bool, True where hidden; got {masked.dtype}.")
        if masked.shape == spectrum.shape:
            # Hidden before patching, a sample is hidden in both of the overlapping patches that contain it.
            return self.cut(spectrum.masked_fill(masked, 0.0))
        patches = self.cut(spectrum)
        if masked.shape == patches.shape[:2]:
            # As released: the samples of a hidden patch stay visible in the patches that overlap it.
            return patches.masked_fill(masked.unsqueeze(-1), 0.0)
        raise ValueError(
            f"{name} must have shape {tuple(spectrum.shape)} (over samples) or {tuple(patches.shape[:2])} (over "
            f"patches); got {tuple(masked.shape)}."
        )

    def check_gaps(self, name: str, measured: Bool[Tensor, "batch samples"]) -> None:
        """Refuse spectra of which no patch would be left, in spite of the samples that were measured.

        Raises:
            ValueError: there is one.
        """
        lost = measured.any(dim=1) & ~self.complete(measured).any(dim=1)
        if bool(lost.any()):
            row = int(lost.nonzero()[0])
            raise ValueError(
                f"{name} row {row} has {int(measured[row].sum())} samples between gaps of NaN, and no complete patch "
                f"of {self.patch_len} samples, so that nothing of it would be read. Fill short gaps with "
                "molspectra.data.resample from the grid of the measurement, or set the whole row to NaN."
            )

    def check_length(self, spectrum: Tensor) -> None:
        """Refuse spectra of another length.

        Raises:
            ValueError: the last dimension is not L.
        """
        check_tensor("spectrum", spectrum)
        if spectrum.shape[-1] != self.length:
            raise ValueError(
                f"Expected spectra of {self.length} samples; got {spectrum.shape[-1]}. Bring them onto the same axis "
                "with molspectra.data.resample, or build the patcher for this length."
            )
