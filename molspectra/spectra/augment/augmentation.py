"""Base classes of augmentations, which check what they are given."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from molspectra._config import Configurable
from molspectra._validation import check_generator, check_tensor
from molspectra.spectra.axis import SpectrumAxis, check_axis
from molspectra.spectra.peak_axis import PeakAxis


class Augmentation(Configurable, ABC):
    """Random change of spectra, called as `augmentation(spectra, axis, generator=None)`.

    It returns new spectra on the device and in the dtype of those given, and draws every parameter anew for each
    spectrum. The same state of the generator gives the same bits. Missing spectra, rows of NaN, stay missing.
    The result is differentiable in the intensities.
    """

    @abstractmethod
    def __call__(
        self, spectra: Tensor, axis: SpectrumAxis | PeakAxis | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return augmented spectra.

        Args:
            spectra: Intensities (B, L) on `axis`, or peaks (B, K, 2): position and intensity, padded with NaN.
            axis: Grid of the intensities. Augmentations of peaks do not use it.
            generator: Random state, on the device of `spectra`.
        """

    def _check_dtype(self, name: str, spectra: Tensor) -> None:
        check_tensor(name, spectra)
        if spectra.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"{name} must be float32 or float64 for {type(self).__name__}; got {spectra.dtype}. "
                f"Convert with {name}.float()."
            )


class GridAugmentation(Augmentation):
    """Base class of augmentations of intensities (B, L) on an axis. Subclasses implement `apply`."""

    def __call__(
        self, spectra: Tensor, axis: SpectrumAxis | PeakAxis | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return augmented spectra, (B, L).

        Args:
            spectra: Intensities, (B, L) float32 or float64. Samples of NaN are unknown, rows of NaN are missing.
            axis: Grid of the intensities.
            generator: Random state, on the device of `spectra`.

        Raises:
            TypeError: `spectra` is no tensor of float32 or float64, or `axis` is no SpectrumAxis.
            ValueError: the shape of `spectra` does not fit the axis.
        """
        self._check_dtype("spectra", spectra)
        check_generator(generator)
        check_axis("axis", axis)
        assert isinstance(axis, SpectrumAxis)
        if spectra.dim() != 2 or spectra.shape[1] != axis.length:
            raise ValueError(
                f"spectra must have shape (B, {axis.length}) on the axis {axis.name!r}; got {tuple(spectra.shape)}. "
                "Pass one spectrum as spectrum[None], and bring others onto the axis with molspectra.data.resample."
            )
        missing = spectra.isnan().all(dim=1, keepdim=True)
        return self.apply(spectra, axis, generator).masked_fill(missing, torch.nan)

    @abstractmethod
    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Return augmented spectra, whatever the values of missing ones."""


class PeakAugmentation(Augmentation):
    """Base class of augmentations of lists of peaks (B, K, 2), or of d positions (B, K, d + 1) and a class.

    Subclasses implement `apply`.
    """

    any_positions: ClassVar[bool] = False
    """True if peaks may have several positions, or a class, with a :class:`~molspectra.data.PeakAxis` that says so."""

    def __call__(
        self,
        spectra: Tensor,
        axis: SpectrumAxis | PeakAxis | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return augmented peaks, (B, K', columns), or spectra on `axis` where a class says so.

        Args:
            spectra: Position and intensity of each peak, (B, K, 2) float32 or float64. Lists are padded with NaN. Peaks
                may stand in any order. A list of NaN alone is missing.
            axis: Axis of the peaks, which those of several positions or with a class need, or the grid of
                :class:`BroadenSticks`.
            generator: Random state, on the device of `spectra`.

        Raises:
            TypeError: `spectra` is no tensor of float32 or float64.
            ValueError: `spectra` has another shape.
        """
        self._check_dtype("spectra", spectra)
        check_generator(generator)
        widths = {2}
        if self.any_positions and isinstance(axis, PeakAxis):
            widths = {axis.num_positions + 1, axis.num_columns}
        if spectra.dim() != 3 or spectra.shape[2] not in widths:
            several = " Peaks of several positions or with a class need their PeakAxis." if self.any_positions else ""
            raise ValueError(
                "spectra must be peaks of shape (B, K, 2), position and intensity, padded with NaN; got "
                f"{tuple(spectra.shape)}. Make them with torch.stack([positions, intensities], dim=-1).{several}"
            )
        return self.apply(spectra, axis, generator)

    @abstractmethod
    def apply(self, peaks: Tensor, axis: Any, generator: torch.Generator | None) -> Tensor:
        """Return augmented peaks."""

    @staticmethod
    def _num_positions(peaks: Tensor, axis: SpectrumAxis | PeakAxis | None) -> int:
        return axis.num_positions if isinstance(axis, PeakAxis) else 1


def check_augmentation(name: str, value: Any) -> None:
    """Refuse what is no augmentation."""
    if not isinstance(value, Augmentation):
        remedy = " Pass an object: add parentheses." if isinstance(value, type) else ""
        raise TypeError(
            f"{name} must be an augmentation, such as WhiteNoise(snr=(30, 300)), or a list of them; got {value!r}."
            f"{remedy}"
        )


def strongest(spectra: Tensor) -> Tensor:
    """Return the largest |intensity| of each spectrum, (B, 1), 0 of a missing one, a constant in the backward pass."""
    return spectra.detach().nan_to_num(0.0).abs().amax(dim=1, keepdim=True)
