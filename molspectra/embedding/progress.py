"""Progress bar of molecules as they are read."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from pathlib import Path
from typing import Any

from torch_geometric.data import Batch, Data

from molspectra.data.io.file_names import SDF_FILES, SMILES_FILES, XYZ_FILES
from molspectra.data.io.sdf import read_records
from molspectra.data.io.smiles_entries import ReadMolecule
from molspectra.data.io.tables import TABLE_FILES, read_table_file
from molspectra.data.io.text import open_text
from molspectra.data.io.xyz import read_frames


def show_progress(reads: Iterable[ReadMolecule], source: Any, smiles: str | None = None) -> Iterator[ReadMolecule]:
    """Return the molecules of a source, with a progress bar of those that were taken.

    Raises:
        ImportError: tqdm is not installed.
    """
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm; install it with `pip install molspectra[plots]`.") from error
    return iter(tqdm(reads, "molecules", total=count_molecules(source, smiles), unit=""))


def count_molecules(source: Any, smiles: str | None = None) -> int | None:
    """Count the molecules of a source without parsing them. None for a source that can be read only once.

    Nested sources count as one molecule each. A damaged file counts up to the damage.

    Args:
        source: As for :func:`molspectra.data.read_molecules`.
        smiles: Column with the SMILES of a table.
    """
    if isinstance(source, str | Path):
        return _count_in_file(Path(source), smiles) if Path(source).is_file() else 1
    if isinstance(source, Batch):
        return source.num_graphs
    if isinstance(source, Mapping) and smiles in source:
        source = source[smiles]
    if isinstance(source, Data) or hasattr(source, "get_positions") or not isinstance(source, Iterable):
        return 1
    return len(source) if isinstance(source, Sized) else None


def _count_in_file(path: Path, smiles: str | None) -> int | None:
    suffix = path.suffix.lower()
    if suffix in TABLE_FILES:
        return sum(1 for _ in read_table_file(path, smiles, ()))
    with open_text(path) as lines:
        if suffix in SMILES_FILES:
            return sum(bool(line.strip()) for line in lines)
        if suffix in SDF_FILES:
            return sum(1 for _ in read_records(lines, path, open_ended=True))
        if suffix not in XYZ_FILES:
            return None
        count = 0
        try:
            for frame in read_frames(lines):
                count = frame.number
        except ValueError:  # reading stops at the same place, with a problem in place of the frame
            count += 1
        return count
