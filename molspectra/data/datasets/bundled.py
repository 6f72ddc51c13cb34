"""Base of the data sets that are shipped with the package."""

import copy
import operator
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import check_choice, checked
from molspectra.data._html import dataset_html
from molspectra.data.datasets.archive import MoleculeArchive

if TYPE_CHECKING:
    from typing_extensions import Self

_SPLITS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"train": (0,), "validation": (1,), "val": (1,), "test": (2,), "all": (0, 1, 2)}
)


class BundledDataset(Sequence[Data]):
    """Sequence of the molecules of an archive, of one split or of all.

    A subclass names its `archive`, whose array "split" is 0, 1 or 2, and makes a molecule of a row of it.

    Args:
        split: "train", "validation" or "val", "test", or "all".
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called with each molecule once per process, on first access, before `transform`.
        pre_filter: Called once with each molecule, before `pre_transform`. If it returns False, the molecule is
            left out.

    Raises:
        ValueError: `split` is unknown.
    """

    archive: ClassVar[MoleculeArchive]

    @checked
    def __init__(
        self,
        split: str = "train",
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
    ) -> None:
        check_choice("split", split, list(_SPLITS))
        self.split = split
        self.transform = transform
        self.pre_transform = pre_transform
        self._pre_transformed: dict[Any, Data] = {}  # shared with the views of this data set
        self._rows = np.flatnonzero(np.isin(self.archive.arrays["split"], _SPLITS[split]))
        if pre_filter is not None:
            self._rows = np.array([row for row in self._rows if pre_filter(self._make(int(row)))], dtype=np.int64)

    @abstractmethod
    def _make(self, row: int) -> Data:
        """Make the molecule of a row of the archive."""

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Data: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | Sequence[bool] | Tensor | np.ndarray) -> "Self": ...

    def __getitem__(self, index: Any) -> "Data | Self":
        if isinstance(index, slice):
            return self._view(self._rows[index])
        if isinstance(index, (list, tuple, Tensor, np.ndarray)) and np.ndim(index) > 0:
            return self._view(self._select(np.asarray(index)))
        try:
            row = self._row(operator.index(index))
        except TypeError as error:
            raise TypeError(
                f"index must be an integer, a slice, or a list or tensor of integers or booleans; got {index!r}."
            ) from error
        data = self._molecule(row)
        return data if self.transform is None else self.transform(data)

    def __repr__(self) -> str:
        functions = {"transform": self.transform, "pre_transform": self.pre_transform}
        given = "".join(f", {name}={function}" for name, function in functions.items() if function is not None)
        return f"{type(self).__name__}({self.split!r}{given}): {len(self)} molecules"

    def _repr_html_(self) -> str:
        return dataset_html(self)

    def _molecule(self, row: int) -> Data:
        if self.pre_transform is None:
            return self._make(row)
        key = self.pre_transform, row
        if key not in self._pre_transformed:
            self._pre_transformed[key] = self.pre_transform(self._make(row))
        return self._pre_transformed[key].clone()

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in 0..{len(self) - 1} (or count from the end, as -1); got {index}.")
        return int(self._rows[index])

    def _select(self, index: np.ndarray) -> np.ndarray:
        if index.size == 0:
            return self._rows[:0]
        if index.ndim != 1 or index.dtype.kind not in "biu":
            raise TypeError(f"index must be one-dimensional, of integers or booleans; got {index.dtype} {index.shape}.")
        if index.dtype.kind == "b" and len(index) != len(self):
            raise IndexError(f"A mask must have {len(self)} entries, one per molecule; got {len(index)}.")
        return self._rows[index] if index.dtype.kind == "b" else np.array([self._row(int(i)) for i in index])

    def _view(self, rows: np.ndarray) -> "Self":
        view = copy.copy(self)
        view._rows = rows
        return view
