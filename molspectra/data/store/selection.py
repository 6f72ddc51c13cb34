"""Lazy selection of stored molecules, as a data loader hands it to the collate function."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol, SupportsIndex, overload, runtime_checkable

from torch_geometric.data import Batch, Data


@runtime_checkable
class BatchSource(Protocol):
    """Sequence of molecules that cuts batches without a Python object per molecule."""

    def __getitem__(self, index: SupportsIndex, /) -> Data:
        """Read one molecule."""

    def batch(self, indices: Any, exclude_keys: Collection[str] = ()) -> Batch:
        """Read many molecules as one batch."""


class Selection(Sequence[Data]):
    """Molecules of a store that a data loader asked for. Each is read when it is accessed.

    Args:
        store: Store that holds them.
        indices: Positions in the store.
    """

    def __init__(self, store: BatchSource, indices: Sequence[int]) -> None:
        self.store = store
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Data: ...

    @overload
    def __getitem__(self, index: slice) -> "Selection": ...

    def __getitem__(self, index: int | slice) -> "Data | Selection":
        if isinstance(index, slice):
            return Selection(self.store, self.indices[index])
        return self.store[self.indices[index]]

    def __iter__(self) -> Iterator[Data]:
        return (self.store[index] for index in self.indices)
