"""Collate function of a data loader, which cuts batches from a store if the data set has one."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from torch_geometric.data import Batch, Data

from molspectra._validation import check_molecule_list, checked
from molspectra.data.store.missing import fill_missing
from molspectra.data.store.selection import Selection


class Collate:
    """Maker of batches of molecules: the `collate_fn` of a `torch.utils.data.DataLoader`.

    From a :class:`MoleculeStore`, or a :class:`StoredDataset` without `transform`, or a `torch.utils.data.Subset` of
    one, a batch is cut without a Python object per molecule (:meth:`MoleculeStore.batch`). Molecules of any other data
    set are put together by `Batch.from_data_list`. The batches are equal. Molecules with and without a spectrum or a
    label share a batch: those without get a row of NaN. Lists of peaks, (1, K, d + 1), are padded with rows of NaN to
    the longest of the batch. Any other field that only part of a batch has is refused.

    Args:
        transform: Called with each batch, in the worker if the loader has workers, for example a noise, which perturbs
            all molecules of a batch at once.
        exclude_keys: Fields to leave out. A store does not read them.

    Raises:
        TypeError: `exclude_keys` is a single string, or, when called, a molecule is no `Data`.
        ValueError: when called, there are no molecules, a field is missing in part of a batch and cannot be NaN, or
            spectra differ in length or have no row of their own.

    Example:
        >>> _ = ms.data.write_store(tmp_path / "store", ms.data.MiniSpectra("test"))
        >>> store = ms.data.MoleculeStore(tmp_path / "store")
        >>> collate = ms.data.Collate(transform=ms.noise.CoordNoise(0.04), exclude_keys=["raman", "smiles"])
        >>> loader = torch.utils.data.DataLoader(store, batch_size=32, shuffle=True, collate_fn=collate)
        >>> [batch.num_graphs for batch in loader]
        [32, 32, 9]
        >>> measured, other = ms.data.from_smiles("CCO"), ms.data.from_smiles("O")
        >>> measured.ir = torch.rand(1, 3501)
        >>> ms.data.Collate()([other, measured]).ir.isnan().all(dim=1)
        tensor([ True, False])
    """

    @checked
    def __init__(self, transform: Callable[[Batch], Any] | None = None, exclude_keys: Collection[str] = ()) -> None:
        self.transform = transform
        self.exclude_keys = tuple(exclude_keys)

    def __call__(self, molecules: Sequence[Data]) -> Any:
        """Make a batch from the result of a data set's `__getitems__`, or from a list of molecules."""
        if isinstance(molecules, Selection):
            batch = molecules.store.batch(molecules.indices, self.exclude_keys)
        else:
            check_molecule_list("molecules", molecules)
            batch = Batch.from_data_list(
                fill_missing(molecules, self.exclude_keys), exclude_keys=list(self.exclude_keys)
            )
        return batch if self.transform is None else self.transform(batch)

    def __repr__(self) -> str:
        return f"Collate(transform={self.transform}, exclude_keys={list(self.exclude_keys)})"
