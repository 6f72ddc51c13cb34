"""Writer of molecules: one flat file per field, in one pass."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra._validation import checked
from molspectra.data.store.batch_rows import rows_of_batch
from molspectra.data.store.field_writer import FieldWriter
from molspectra.data.store.index import write_index
from molspectra.data.store.layout import Layout, is_table, to_rows


@checked
def write_store(directory: str | Path, molecules: Iterable[Data]) -> int:
    """Write molecules for :class:`MoleculeStore`, in one pass, with one molecule or one batch in memory at a time.

    A field may be a tensor, a string, or a Python int, float or bool. Tensors are concatenated along the axis on which
    PyG batches them: the last one if the name contains "index", otherwise the first. All other axes and the dtype must
    be the same in every molecule. A field may be missing in some molecules. Lists of peaks, (1, K, d + 1),
    may differ in their number of peaks K.

    A `Batch` stands for the molecules of `batch.to_data_list()` and is written as a whole, which is many times faster.
    To copy a store, in part or in another order, write its `store.batch(indices)`.

    The files grow in a temporary folder beside `directory`, which is renamed when everything is written: an interrupted
    run leaves nothing that looks finished.

    Args:
        directory: Folder of the store. An existing one is replaced.
        molecules: Molecules of any fields, or batches of them as `Batch.from_data_list` or :meth:`MoleculeStore.batch`
            makes them.

    Returns:
        Number of molecules written.

    Raises:
        TypeError: a molecule is not a `Data`, a field has a type that cannot be stored, or its dtype changes.
        ValueError: the shape of a field changes, its name cannot be the name of a file, or a batch cannot be taken
            apart.

    Example:
        >>> molecules = [Data(z=torch.tensor([1]), smiles="[H]"), Data(z=torch.tensor([6, 8]), smiles="[C-]#[O+]")]
        >>> write_store(tmp_path / "store", molecules)
        2
        >>> ms.data.MoleculeStore(tmp_path / "store")[1].z
        tensor([6, 8])
    """
    directory = Path(directory)
    part = directory.with_name(f"{directory.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    writer = _Writer(part)
    try:
        for data in molecules:
            if isinstance(data, Batch):
                writer.extend(data)
            else:
                writer.append(data)
        writer.finish()
        shutil.rmtree(directory, ignore_errors=True)
        os.replace(part, directory)
    finally:
        writer.close()
        shutil.rmtree(part, ignore_errors=True)
    return writer.num_molecules


class _Writer:
    """Writer of molecules into a folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.num_molecules = 0
        self._fields: dict[str, FieldWriter] = {}

    def append(self, data: Data) -> None:
        if not isinstance(data, Data):
            raise TypeError(
                f"molecules must be torch_geometric.data.Data, or Batch; got {type(data).__name__} for molecule "
                f"{self.num_molecules}. Build one with molspectra.data.from_smiles, from_rdkit or from_ase."
            )
        # data.keys() has no fixed order.
        values = {name: value for name, value in data.to_dict().items() if value is not None}
        for name, value in values.items():
            kind, rows = to_rows(name, value)
            field = self._field(name, kind, rows, np.array([len(rows)]))
            field.append(rows[0] if field.layout.kind == "table" else rows)
        for name, field in self._fields.items():
            if name not in values:
                field.append(None)
        self.num_molecules += 1

    def extend(self, batch: Batch) -> None:
        """Append all molecules of a batch."""
        if len(batch) == 0:
            return
        fields = rows_of_batch(batch)
        if fields is None:  # a field is batched by a rule of its own
            for data in batch.to_data_list():
                self.append(data)
            return
        for name, (kind, rows, lengths) in fields.items():
            field = self._field(name, kind, rows, lengths)
            if field.layout.kind == "table":
                rows, lengths = rows.flatten(0, 1), lengths * rows.shape[1]
            field.extend(rows, lengths)
        for name, field in self._fields.items():
            if name not in fields:
                field.extend(None, np.zeros(len(batch), dtype=np.int64))
        self.num_molecules += len(batch)

    def finish(self) -> None:
        """Write the index, as the last file."""
        layouts = {name: field.finish() for name, field in self._fields.items()}
        files = [file for field in self._fields.values() for file in field.files.values()]
        sizes = {file.path.name: {"bytes": file.size, "crc32": file.checksum} for file in files}
        write_index(self.directory, self.num_molecules, layouts, sizes)

    def close(self) -> None:
        for field in self._fields.values():
            for file in field.files.values():
                file.close()

    def _field(self, name: str, kind: str, rows: Tensor, lengths: np.ndarray) -> FieldWriter:
        """Return the writer of a field, and check that rows of this kind, so many for each molecule, fit it."""
        dtype, shape = str(rows.dtype).removeprefix("torch."), list(rows.shape[1:])
        if name not in self._fields:
            if not re.fullmatch(r"\w+", name):
                raise ValueError(
                    f"Names of fields must consist of letters, digits and underscores; got {name!r}. Rename it."
                )
            layout = Layout(f"{len(self._fields):02d}_{name}", kind, dtype, shape)
            self._fields[name] = FieldWriter(self.directory, layout, self.num_molecules)
        field = self._fields[name]
        if kind == "first" and is_table(rows[:1]) and bool((lengths == 1).all()) and field.takes_as_table(rows):
            return field
        known = field.layout
        if (kind, dtype, shape) != (known.kind, known.dtype, known.shape):
            error = ValueError if (kind, dtype) == (known.kind, known.dtype) else TypeError
            raise error(
                f"Field {name!r} of molecule {self.num_molecules} is {kind}, {dtype}, rows of shape {tuple(shape)}; in "
                f"the molecules before it is {known.kind}, {known.dtype}, {tuple(known.shape)}. Make them alike; only "
                f"the {'last' if 'index' in name else 'first'} axis may differ in length."
            )
        return field
