"""What the large data sets have in common: published files in, a memory-mapped store of molecules out."""

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch_geometric.data import Data, Dataset

from molspectra.data.datasets.fingerprint import fingerprint
from molspectra.data.store.molecule_store import MoleculeStore
from molspectra.data.store.writer import write_store
from molspectra.spectra.axis import SpectrumAxis

try:
    import fcntl
except ImportError:  # Windows: processes are not kept apart there
    fcntl = None  # type: ignore[assignment]


# What reading a record of another shape or type than it should have can end in.
BROKEN = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Skipped(NamedTuple):
    """A record that could not be read."""

    file: str
    """Name of the published file."""
    record: str
    """Which record of it, as the data set counts them."""
    reason: str
    """What is wrong with it."""


class StoredDataset(Dataset):
    """Base of data sets that are read once from their published files and then served from disk.

    On first use the published files in `<root>/raw` (downloaded if they are not there; put by hand, they are taken as
    they are) are streamed, molecule by molecule, through `pre_filter` and `pre_transform` into a
    :class:`~molspectra.data.MoleculeStore` below `<root>/processed`. Memory stays bounded, and an interrupted run
    leaves nothing that looks finished. From then on molecules are slices of memory-mapped files, which the workers of a
    `DataLoader` and several processes of a machine share; the published files may be deleted. A progress bar is
    shown in a terminal if tqdm is installed. A `torch.utils.data.DataLoader` with :class:`molspectra.data.Collate` cuts
    batches from the files as a whole.

    To make a data set of your own, name its files in `raw_file_names` and yield molecules from `molecules`; where the
    files can be fetched, write `download`, too, and say what the numbers mean in the class attributes.

    Args:
        root: Folder of the data set.
        transform: Called with each molecule whenever it is taken out.
        pre_transform: Called once with each molecule before it is stored. With another one than the stored molecules
            have seen there is a warning; `force_reload=True` reads the published files again.
        pre_filter: Called once with each molecule before `pre_transform`; what it returns False for is left out.
        force_reload: Whether to read the published files again in any case.
        skip_broken: Whether to go on after a broken record, which is then listed in `skipped`, instead of refusing it.

    Raises:
        FileNotFoundError: the files are not there and the data set cannot download them.
        ValueError: a file is damaged, truncated or out of order (the message names it and the place), or holds no
            molecule.

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
    licence: ClassVar[str] = ""
    """Under what terms the files are published."""
    source: ClassVar[str] = ""
    """URL that describes the files."""
    citation: ClassVar[str] = ""
    """What to cite."""
    num_molecules: ClassVar[int | None] = None
    """Molecules in the published files, where known."""
    axes: ClassVar[Mapping[str, SpectrumAxis]] = {}
    """Kind of spectrum → its axis."""

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        self.skip_broken = skip_broken
        self._skipped: list[Skipped] = []
        # This downloads and processes, so what a subclass's molecules() needs is set before it calls this constructor.
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
        """What must be there for the data set to be complete."""
        return ["molecules/index.json", "skipped.json", "functions.json"]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Broken records that `skip_broken=True` left out."""
        return tuple(self._skipped)

    def download(self) -> None:
        """Put the published files into `raw_dir`; called if some of `raw_file_names` are not there.

        Raises:
            FileNotFoundError: the data set does not know how to; the message lists what is missing.
        """
        missing = [path for path in self.raw_paths if not os.path.exists(path)]
        raise FileNotFoundError(
            f"{type(self).__name__} needs {missing}, which are not there, and cannot download them. "
            f"Put them there by hand{f'; they are described at {self.source}' if self.source else ''}."
        )

    def molecules(self) -> Iterator[Data]:
        """Read molecules from the published files, one after the other, in the order they are stored in.

        For a record that cannot be read call :meth:`broken`, which raises or, with `skip_broken=True`, takes note.

        Yields:
            A molecule with the fields of :mod:`molspectra.data.molecule`; the same fields for all.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement molecules(), which yields its molecules.")

    def broken(self, file: str | Path, record: str | int, reason: object) -> None:
        """Refuse a record that cannot be read, or take note of it if `skip_broken=True`.

        Args:
            file: The published file.
            record: Which record of it: a number, name or line.
            reason: What is wrong; an exception will do.

        Raises:
            ValueError: broken records are not to be skipped.
        """
        skipped = Skipped(Path(file).name, str(record), str(reason))
        if not self.skip_broken:
            raise ValueError(
                f"{file}, record {record}: {reason} Fetch the file anew, or pass skip_broken=True to leave out records "
                "like this one and find them listed in `skipped`."
            )
        self._skipped.append(skipped)

    def process(self) -> None:
        """Stream the published files into the store; called when there is none yet.

        Raises:
            ValueError: a file is damaged, or no molecule is left.
        """
        with _one_at_a_time(Path(self.processed_dir) / "molecules.lock"):
            if not self._must_process():
                return  # another process has done it meanwhile
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

    def len(self) -> int:
        """Number of molecules in the store."""
        return len(self._store)

    def get(self, idx: int) -> Data:
        """Molecule number `idx` of the store, before `transform`; `dataset[index]` transforms it."""
        return self._store[idx]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Molecules that a data loader asks for; as a whole, for `Collate` to cut a batch, if there is no transform."""
        if self.transform is not None:
            return [self[index] for index in indices]
        stored = self.indices()
        return self._store.__getitems__([stored[index] for index in indices])

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each molecule, (M,) int64, read from offsets; for :class:`AtomBudgetSampler`."""
        sizes = self._store.sizes
        return sizes if self._indices is None else sizes[np.asarray(self._indices, dtype=np.int64)]

    def _download(self) -> None:
        # As PyG has it, except that the published files may be deleted once the molecules are stored, and that one of
        # several processes does it.
        if not self._must_process() or all(map(os.path.exists, self.raw_paths)):
            return
        os.makedirs(self.raw_dir, exist_ok=True)
        with _one_at_a_time(Path(self.root) / "download.lock"):
            if self._must_process() and not all(map(os.path.exists, self.raw_paths)):
                self.download()

    def _process(self) -> None:
        # In place of PyG's, which would unpickle what it finds in the folder, and cannot tell functions apart.
        os.makedirs(self.processed_dir, exist_ok=True)
        if self._must_process():
            self.process()
            return
        stored = json.loads(self._functions_file.read_text(encoding="utf-8"))
        for name, given in self._functions().items():
            if stored.get(name) != given:
                warnings.warn(
                    f"The molecules of {type(self).__name__} were stored with {name}={stored.get(name)}; it is now "
                    f"{given}. Pass force_reload=True to read the published files again.",
                    stacklevel=4,
                )

    def _functions(self) -> dict[str, str]:
        return {"pre_transform": fingerprint(self.pre_transform), "pre_filter": fingerprint(self.pre_filter)}

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
        return Path(self.processed_dir) / "functions.json"

    def _prepared(self) -> Iterator[Data]:
        """Molecules as they are stored. What was skipped is written down before the store is given its name."""
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
    """Refuse published files that hold another number of molecules than was published.

    Args:
        files: Where the molecules come from, for the message.
        found: How many there are, broken ones included.
        expected: How many there should be; None if that is not known.

    Raises:
        ValueError: the numbers differ.
    """
    if expected is not None and found != expected:
        raise ValueError(
            f"{files}: found {found} molecules; {expected} were published, so a file is truncated or of another "
            "release. Fetch it anew; to read a part on purpose, make a subclass with num_molecules = None."
        )


@contextlib.contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold back other processes, such as those of a distributed training, that would do the same work."""
    with lock.open("w") as stream:
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _with_progress(molecules: Iterator[Data], name: str, total: int | None) -> Iterator[Data]:
    try:
        from tqdm import tqdm
    except ImportError:
        return molecules
    return iter(tqdm(molecules, desc=f"Reading {name}", total=total, unit=" molecules", disable=None))
