"""Augmentations one after another, and of some of the spectra only."""

from collections.abc import Sequence

import torch
from torch import Tensor

from molspectra.spectra.augment.augmentation import Augmentation, check_augmentation
from molspectra.spectra.augment.ranges import uniform
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis


class Compose(Augmentation):
    """Several augmentations, one after another.

    A natural order is that of the measurement: the molecule (scale factor, intensities, widths), the sample
    (saturation), the instrument (resolution, baseline, gas lines, noise), the record (cropping).

    Args:
        augmentations: The augmentations. A first part may augment peaks and end with :class:`BroadenSticks`.

    Raises:
        TypeError: an entry is no augmentation.

    Example:
        >>> augment = ms.spectra.augment.Compose([
        ...     ms.spectra.augment.ScaleFactor((0.95, 1.0)),
        ...     ms.spectra.augment.WhiteNoise(snr=(30, 300)),
        ... ])
        >>> augment(torch.rand(4, 3501), ms.data.IR, torch.Generator().manual_seed(0)).shape
        torch.Size([4, 3501])
    """

    def __init__(self, augmentations: Sequence[Augmentation]) -> None:
        for place, augmentation in enumerate(augmentations):
            check_augmentation(f"augmentations[{place}]", augmentation)
        self.augmentations = list(augmentations)

    def __call__(
        self, spectra: Tensor, axis: SpectrumAxis | PeakAxis | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return augmented spectra. See the augmentations for shapes and errors."""
        for augmentation in self.augmentations:
            spectra = augmentation(spectra, axis, generator)
        return spectra


class Sometimes(Augmentation):
    """Augmentation of each spectrum with a probability. The other spectra stay as they are.

    Args:
        augmentation: An augmentation that keeps the shape of the spectra.
        probability: Probability that a spectrum is augmented, 0 to 1.

    Raises:
        TypeError: `augmentation` is none.
        ValueError: `probability` is out of range. When called: the augmentation changes the shape.

    Example:
        >>> half = Sometimes(ms.spectra.augment.Gain(2.0), probability=0.5)
        >>> bool(((x := half(torch.ones(9, 3501), ms.data.IR)) == 1).logical_or(x == 2).all())
        True
    """

    def __init__(self, augmentation: Augmentation, probability: float = 0.5) -> None:
        check_augmentation("augmentation", augmentation)
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be between 0 and 1; got {probability}.")
        self.augmentation = augmentation
        self.probability = probability

    def __call__(
        self, spectra: Tensor, axis: SpectrumAxis | PeakAxis | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the spectra, some of them augmented."""
        augmented = self.augmentation(spectra, axis, generator)
        if augmented.shape != spectra.shape:
            raise ValueError(
                f"augmentation must keep the shape of the spectra, {tuple(spectra.shape)}; {self.augmentation} returns "
                f"{tuple(augmented.shape)}. Draw the number or the height of its peaks from a range that begins at 0."
            )
        chosen = uniform((spectra.shape[0],) + (1,) * (spectra.dim() - 1), spectra, generator) < self.probability
        return torch.where(chosen, augmented, spectra)
