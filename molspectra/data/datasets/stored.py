"""Base of the large data sets: published files are read once into a memory-mapped store of molecules."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch_geometric.data import Data

from molspectra._download import locked
from molspectra._validation import checked
from molspectra.data._html import dataset_html
from molspectra.data._pyg import TwoStepDataset
from molspectra.data.datasets.description import describe
from molspectra.data.store.molecule_store import MoleculeStore
from molspectra.data.store.writer import write_store
from molspectra.spectra.axis import SpectrumAxis


class Skipped(NamedTuple):
    """Record that could not be read."""

    file: str
    """Name of the published file."""
    record: str
    """Record of that file, as the data set counts them."""
    reason: str
    """Fault of the record."""


class StoredDataset(TwoStepDataset):
    """Base of data sets that read their published files once and then serve molecules from disk.

    On first use the published files in `<root>/raw` are downloaded, unless they were put there by hand, and streamed,
    molecule by molecule, through `pre_filter` and `pre_transform` into a :class:`~molspectra.data.MoleculeStore` below
    `<root>/processed`. Memory stays bounded, and an interrupted run leaves nothing that looks finished. From then on
    molecules are slices of memory-mapped files, which the workers of a `DataLoader` and several processes of a machine
    share, and the published files may be deleted. A terminal shows a progress bar if tqdm is installed. A
    `torch.utils.data.DataLoader` with :class:`molspectra.data.Collate` cuts whole batches from the files.

    To write a data set, name its files in `raw_file_names` and yield molecules from `molecules`. If the files can be
    fetched, write `download` as well. Describe the numbers in the class attributes.

    Args:
        root: Folder of the data set.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored. If its description differs from the one that
            the stored molecules have passed through, a warning says so. `force_reload=True` reads the files again.
        pre_filter: Called once with each molecule before `pre_transform`. Molecules for which it returns False are left
            out.
        force_reload: Read the published files again in any case.
        skip_broken: Leave out broken records and list them in `skipped`, instead of raising an error.

    Raises:
        FileNotFoundError: files are missing, and the data set cannot download them.
        ValueError: a file is damaged, truncated or out of order (the message names it and the place), or no molecule
            is left.

    Example:
        >>> class Waters(StoredDataset):
        ...     raw_file_names = ()
        ...     def molecules(self):
        ...         yield Data(z=torch.tensor([8, 1, 1]), pos=torch.rand(3, 3))
        >>> Waters(tmp_path)[0]
        Data(pos=[3, 3], z=[3])
    """

    units: ClassVar[Mapping[str, str]] = {}
    """Field → its unit."""
    license: ClassVar[str] = ""
    """Terms under which the files are published."""
    source: ClassVar[str] = ""
    """URL that describes the files."""
    citation: ClassVar[str] = ""
    """Reference to cite."""
    num_molecules: ClassVar[int | None] = None
    """Molecules in the published files, where known."""
    axes: ClassVar[Mapping[str, SpectrumAxis]] = {}
    """Kind of spectrum → its axis."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Wrong arguments are refused before hours of downloading.
        if "__init__" in vars(cls) and cls.__module__.startswith("molspectra."):
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]

    @checked
    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        self.skip_broken = skip_broken
        self._skipped: list[Skipped] = []
        # This downloads and processes: a subclass sets everything that its molecules() needs before it comes here.
        super().__init__(str(root), transform, pre_transform, pre_filter, log=False, force_reload=force_reload)
        self._store = MoleculeStore(self._store_directory)
        self._skipped = [Skipped(*record) for record in json.loads(self._skipped_file.read_text(encoding="utf-8"))]
        if self._skipped and not skip_broken:
            warnings.warn(
                f"{type(self).__name__} was stored with skip_broken=True and lacks {len(self._skipped)} broken "
                "records, see `skipped`. Pass skip_broken=True to accept that, or force_reload=True to refuse them.",
                stacklevel=2,
            )

    @property
    def processed_file_names(self) -> list[str]:
        """Files of a complete data set, below its folder of processed files."""
        return ["molecules/index.json", "skipped.json"]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Broken records that `skip_broken=True` left out."""
        return tuple(self._skipped)

    def download(self) -> None:
        """Put the published files into `raw_dir`, called if some of `raw_file_names` are missing.

        Raises:
            FileNotFoundError: the data set has no way to fetch them. The message lists the missing files.
        """
        missing = [path for path in self.raw_paths if not os.path.exists(path)]
        raise FileNotFoundError(
            f"{type(self).__name__} needs {missing}, which are not there, and cannot download them. "
            f"Put them there by hand{f'; they are described at {self.source}' if self.source else ''}."
        )

    def molecules(self) -> Iterator[Data]:
        """Read molecules from the published files, one after the other, in the order of the store.

        Parsers report a record that cannot be read by a `ValueError`. Catch it, and no other, and call :meth:`broken`,
        which raises an error or, with `skip_broken=True`, takes note.

        Yields:
            A molecule with the fields of :mod:`molspectra.data.molecule`, the same for all.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement molecules(), which yields its molecules.")

    def broken(self, file: str | Path, record: str | int, reason: object) -> None:
        """Refuse a record that cannot be read, or take note of it if `skip_broken=True`.

        Args:
            file: The published file.
            record: Number, name or line of the record.
            reason: Fault of the record, such as the exception of its parser.

        Raises:
            ValueError: broken records are not skipped.
        """
        skipped = Skipped(Path(file).name, str(record), str(reason))
        if not self.skip_broken:
            raise ValueError(
                f"{file}, record {record}: {reason} Fetch the file anew, or pass skip_broken=True to leave out records "
                "like this one and find them listed in `skipped`."
            )
        self._skipped.append(skipped)

    def process(self) -> None:
        """Stream the published files into the store, called if there is none yet.

        Raises:
            ValueError: a file is damaged, or no molecule is left.
        """
        # Of several processes, such as those of a distributed training, one does the work.
        with locked(Path(self.processed_dir) / "molecules.lock"):
            if not self._must_process():
                return  # another process has finished it in the meantime
            self._skipped = []
            for left_behind in Path(self.processed_dir).glob("molecules.*.part"):  # by a process that was killed
                shutil.rmtree(left_behind, ignore_errors=True)
            write_store(self._store_directory, self._prepared())
        if self._skipped:
            first = self._skipped[0]
            warnings.warn(
                f"{type(self).__name__} skipped {len(self._skipped)} broken records, listed in `skipped`; the first is "
                f"{first.file}, record {first.record}: {first.reason}",
                stacklevel=2,
            )

    def _repr_html_(self) -> str:
        return dataset_html(self)

    def len(self) -> int:
        """Return the number of molecules in the store."""
        return len(self._store)

    def get(self, idx: int) -> Data:
        """Read molecule number `idx` of the store, without `transform`, which `dataset[index]` applies."""
        return self._store[idx]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return molecules for a data loader, without `transform` as a selection that `Collate` cuts a batch from."""
        if self.transform is not None:
            return [self[index] for index in indices]
        stored = self.indices()
        return self._store.__getitems__([stored[index] for index in indices])

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each molecule, (M,) int64, read from offsets, for :class:`AtomBudgetSampler`."""
        selected = self.indices()
        if isinstance(selected, range):  # NumPy converts a range one number at a time
            return self._store.sizes[selected.start : selected.stop : selected.step]
        return self._store.sizes[np.asarray(selected, dtype=np.int64)]

    def fetch(self) -> None:
        """Download the published files, unless they are there or the molecules are stored already."""
        if not self._must_process() or all(map(os.path.exists, self.raw_paths)):
            return
        os.makedirs(self.raw_dir, exist_ok=True)
        with locked(Path(self.root) / "download.lock"):
            if self._must_process() and not all(map(os.path.exists, self.raw_paths)):
                self.download()

    def prepare(self) -> None:
        """Store the molecules, or compare the functions that the stored ones have passed through."""
        os.makedirs(self.processed_dir, exist_ok=True)
        if self._must_process():
            self.process()
            return
        if not self._functions_file.is_file():
            return
        stored = json.loads(self._functions_file.read_text(encoding="utf-8"))
        for name, given in self._functions().items():
            if stored.get(name) != given:
                warnings.warn(
                    f"The molecules of {type(self).__name__} were stored with {name}={stored.get(name)}; it is now "
                    f"{given}. Pass force_reload=True to read the published files again.",
                    stacklevel=5,
                )

    def _functions(self) -> dict[str, str]:
        return {"pre_transform": describe(self.pre_transform), "pre_filter": describe(self.pre_filter)}

    def _must_process(self) -> bool:
        return bool(self.force_reload) or not all(map(os.path.exists, self.processed_paths))

    @property
    def _store_directory(self) -> Path:
        return Path(self.processed_dir) / "molecules"

    @property
    def _skipped_file(self) -> Path:
        return Path(self.processed_dir) / "skipped.json"

    @property
    def _functions_file(self) -> Path:
        return Path(self.processed_dir) / "described_functions.json"

    def _prepared(self) -> Iterator[Data]:
        """Yield molecules as they are stored. The skipped records are written down before the store is complete."""
        empty = True
        for data in _with_progress(self.molecules(), type(self).__name__, self.num_molecules):
            if self.pre_filter is not None and not self.pre_filter(data):
                continue
            empty = False
            yield data if self.pre_transform is None else self.pre_transform(data)
        if empty:
            first = f" (the first: {self._skipped[0].record}, {self._skipped[0].reason})" if self._skipped else ""
            raise ValueError(
                f"No molecule of {type(self).__name__} is left: {len(self._skipped)} records were broken{first}, and "
                f"pre_filter is {self.pre_filter}. Check the files in {self.raw_dir} and the filter."
            )
        for path, content in ((self._skipped_file, self._skipped), (self._functions_file, self._functions())):
            part = path.with_name(f"{path.stem}.{os.getpid()}.part")
            part.write_text(json.dumps(content), encoding="utf-8")
            os.replace(part, path)


def check_count(files: str | Path, found: int, expected: int | None) -> None:
    """Check that published files hold as many molecules as were published.

    Args:
        files: Files that the molecules come from, for the message.
        found: Number of molecules, broken ones included.
        expected: Number of published molecules, or None if it is not known.

    Raises:
        ValueError: the numbers differ.
    """
    if expected is not None and found != expected:
        raise ValueError(
            f"{files}: found {found} molecules; {expected} were published, so a file is truncated or of another "
            "release. Fetch it anew; to read a part on purpose, make a subclass with num_molecules = None."
        )


def _with_progress(molecules: Iterator[Data], name: str, total: int | None) -> Iterator[Data]:
    try:
        from tqdm import tqdm
    except ImportError:
        return molecules
    return iter(tqdm(molecules, desc=f"Reading {name}", total=total, unit=" molecules", disable=None))
