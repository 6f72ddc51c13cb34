"""Rows of NaN for the spectra that a molecule lacks."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform

from molspectra._validation import checked
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis


class FillMissingSpectra(BaseTransform):
    """Transform that sets each spectrum that a molecule lacks to a row of NaN, which stands for a missing spectrum.

    Molecules with and without spectra can then share a batch of torch_geometric's own `DataLoader`, whose batches have
    the fields of their first molecule. :class:`molspectra.data.Collate` does the same without a transform, for kinds
    that one molecule of the batch has.

    Args:
        axes: Kind → :class:`molspectra.data.SpectrumAxis` or length, such as `MiniSpectra.axes`, or a list of axes,
            whose names are the kinds. A missing kind with a :class:`molspectra.data.PeakAxis` becomes a list of one row
            of NaN, and lists of different lengths need :class:`molspectra.data.Collate`.
        dtype: dtype of the rows of NaN.

    Raises:
        TypeError: an axis is neither a SpectrumAxis nor a length.
        ValueError: no axis is given, or two of one name. When called: the input is a `Batch`, or a spectrum has a wrong
            shape.

    Example:
        >>> molecule = ms.data.from_smiles("O")
        >>> ms.data.transforms.FillMissingSpectra([ms.data.IR])(molecule).ir.shape
        torch.Size([1, 3501])
    """

    @checked
    def __init__(
        self,
        axes: Mapping[str, SpectrumAxis | PeakAxis | int] | Iterable[SpectrumAxis | PeakAxis] | SpectrumAxis | PeakAxis,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        named = axes if isinstance(axes, Mapping) else _by_name(axes)
        if not named:
            raise ValueError("axes must name at least one kind of spectrum; got none. Pass such as [ms.data.IR].")
        self.peak_axes = {kind: axis for kind, axis in named.items() if isinstance(axis, PeakAxis)}
        self.lengths = {kind: _length(kind, axis) for kind, axis in named.items() if kind not in self.peak_axes}
        self.dtype = dtype

    def forward(self, data: Data) -> Data:
        """Add the rows to `data`, which PyG's `BaseTransform` has already copied."""
        if not isinstance(data, Data):
            raise TypeError(f"data must be a torch_geometric.data.Data; got a {type(data).__name__}.")
        if isinstance(data, Batch):
            raise ValueError(
                "FillMissingSpectra takes single molecules, not a Batch. Use it as a data set's transform, or make "
                "batches with molspectra.data.Collate."
            )
        device = data.pos.device if isinstance(data.get("pos"), Tensor) else None
        for kind, axis in self.peak_axes.items():
            if kind not in data:
                data[kind] = torch.full((1, 1, axis.num_columns), torch.nan, dtype=self.dtype, device=device)
        for kind, length in self.lengths.items():
            if kind not in data:
                data[kind] = torch.full((1, length), torch.nan, dtype=self.dtype, device=device)
            elif not isinstance(data[kind], Tensor) or data[kind].shape != (1, length):
                got = tuple(data[kind].shape) if isinstance(data[kind], Tensor) else type(data[kind]).__name__
                raise ValueError(
                    f"{kind} must have shape (1, {length}), as its axis says; got {got}. Resample it onto the axis "
                    "with molspectra.data.resample."
                )
            elif not data[kind].is_floating_point():
                raise TypeError(f"{kind} must be floating point; got {data[kind].dtype}. Convert it with .float().")
        return data

    def __repr__(self) -> str:
        return f"FillMissingSpectra({self.lengths | dict.fromkeys(self.peak_axes, 'peaks')})"


def _by_name(
    axes: Iterable[SpectrumAxis | PeakAxis] | SpectrumAxis | PeakAxis,
) -> dict[str, SpectrumAxis | PeakAxis]:
    named: dict[str, SpectrumAxis | PeakAxis] = {}
    for axis in [axes] if isinstance(axes, SpectrumAxis | PeakAxis) else axes:
        if not isinstance(axis, SpectrumAxis | PeakAxis):
            raise TypeError(f"axes must be SpectrumAxis objects, or kind → axis or length; got {axis!r}.")
        if axis.name in named:
            raise ValueError(f"axes must have one axis of each name; got two of {axis.name!r}. Leave one out.")
        named[axis.name] = axis
    return named


def _length(kind: str, axis: SpectrumAxis | PeakAxis | int) -> int:
    length = axis.length if isinstance(axis, SpectrumAxis) else axis
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise TypeError(f"The axis of {kind!r} must be a SpectrumAxis or a length of 1 or more; got {axis!r}.")
    return length
