"""Augmentation of the spectra of molecules."""

import copy
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import check_fields, check_generator
from molspectra.spectra.augment.augmentation import Augmentation
from molspectra.spectra.augment.compose import Compose
from molspectra.spectra.axis import SpectrumAxis, check_axis
from molspectra.spectra.peak_axis import PeakAxis


class Augment(Configurable):
    """Transform that augments the spectra of a `Data` or a `Batch`, kind by kind.

    Use it as the `transform` of a data set, which draws anew in every epoch, or on a batch on its device, which is
    faster. Kinds that the molecules lack are left out.

    Args:
        augmentations: Kind → an augmentation or a list of them. The kind is the name of the field.
        axes: Kind → axis of the intensities, or a list of axes, whose names are the kinds. Kinds given as peaks need
            none. Others may be named as well, as in `MiniSpectra.axes`.

    Raises:
        TypeError: an entry is no augmentation, or an axis is no SpectrumAxis.
        ValueError: no kind is given.

    Example:
        >>> noise = ms.spectra.augment.WhiteNoise(snr=30)
        >>> augment = Augment({"ir": [ms.spectra.augment.Gain(2.0), noise]}, ms.data.MiniSpectra.axes)
        >>> molecule = ms.data.MiniSpectra()[0]
        >>> augment(molecule).ir.shape, augment(molecule).raman is molecule.raman
        (torch.Size([1, 3501]), True)
    """

    def __init__(
        self,
        augmentations: Mapping[str, Augmentation | Sequence[Augmentation]],
        axes: Mapping[str, SpectrumAxis | PeakAxis] | Iterable[SpectrumAxis | PeakAxis] = (),
    ) -> None:
        if not augmentations:
            raise ValueError('augmentations must name at least one kind, such as {"ir": [...]}; got none.')
        self.augmentations = {
            kind: Compose(some if isinstance(some, list | tuple) else [some])  # type: ignore[list-item]
            for kind, some in augmentations.items()
        }
        listed = list(axes.values() if isinstance(axes, Mapping) else axes)
        kinds = axes if isinstance(axes, Mapping) else [getattr(axis, "name", axis) for axis in listed]
        self.axes = dict(zip(kinds, listed, strict=True))
        for kind, axis in self.axes.items():
            if not isinstance(axis, PeakAxis):
                check_axis(f"axes[{kind!r}]", axis)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return a shallow copy of `data` with augmented spectra."""
        check_fields(data, (), "Augment", "")
        check_generator(generator)
        augmented = copy.copy(data)
        for kind, augmentation in self.augmentations.items():
            if kind in data:
                augmented[kind] = augmentation(data[kind], self.axes.get(kind), generator)
        return augmented
