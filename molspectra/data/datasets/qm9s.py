"""QM9S: the molecules of QM9 with computed UV-Vis, IR and Raman spectra and tensorial properties."""

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra._download import download
from molspectra._validation import check_choice, check_molecules
from molspectra.data.datasets.stored import StoredDataset, check_count
from molspectra.data.io.archives import ZipArchive, unpack
from molspectra.data.io.pickled import fields_of, numbers_of, read_pickled
from molspectra.data.io.spectrum_rows import parse_intensities, read_rows
from molspectra.spectra.axis import IR, RAMAN, UV_VIS_QM9S, SpectrumAxis

_URL = "https://figshare.com/ndownloader/articles/24235333/versions/3"
_MOLECULES = {"csv": "qm9s_csv.zip", "pt": "qm9s.pt"}
_TABLES = {"uv_vis": "uv", "ir": "ir", "raman": "raman"}  # field → beginning of the file's name
_ENDINGS = ("_boraden.csv", "_broaden.csv")  # as published, and as some copies have it
# Field → its name in qm9s.pt, and its shape; N stands for -1, the atoms.
_FIELDS: Mapping[str, tuple[str, tuple[int, ...]]] = MappingProxyType(
    {
        "energy": ("energy", (1,)),
        "npa_charge": ("npacharge", (-1,)),
        "dipole": ("dipole", (1, 3)),
        "quadrupole": ("quadrupole", (1, 3, 3)),
        "polarizability": ("polar", (1, 3, 3)),
        "transition_energy": ("tran_energy", (1, 10)),
        "transition_dipole": ("tran_dipole", (1, 10, 3)),
        "dipole_derivative": ("dedipole", (-1, 3, 3)),
        "polarizability_derivative": ("depolar", (-1, 3, 6)),
    }
)
_SYMMETRIC = [0, 1, 3, 1, 2, 4, 3, 4, 5]  # xx, xy, yy, zx, zy, zz as the nine elements of a matrix
# Field → its row in the table of a molecule, and the count of its numbers.
_TABLE_ROWS = {"energy": (1, 1), "dipole": (3, 3), "quadrupole": (4, 6), "polarizability": (6, 6)}
_TABLE_ROWS |= {"transition_energy": (8, 10), "transition_dipole": (9, 30)}
_FIRST_ATOM = 10


class QM9S(StoredDataset):
    """QM9S (Zou et al., Nat. Comput. Sci. 3, 957, 2023, "DetaNet"): 129,817 molecules of QM9, B3LYP/def2-TZVP.

    ===========================  ============  ==============================================================
    field                        shape         unit, meaning
    ===========================  ============  ==============================================================
    `z` `pos`                    (N,) (N, 3)   atomic number, Å
    `uv_vis` `ir` `raman`        (1, L)        intensities as published, on `QM9S.axes` (701, 3501, 3501)
    `energy`                     (1,)          eV, float64: total energy
    `npa_charge`                 (N,)          e, natural population analysis
    `dipole` `quadrupole`        (1, 3[, 3])   Debye, Debye Å
    `polarizability`             (1, 3, 3)     a0^3
    `transition_energy`          (1, 10)       eV, of the ten lowest excited states
    `transition_dipole`          (1, 10, 3)    Debye
    `dipole_derivative`          (N, 3, 3)     Debye/Å, in the published order
    `polarizability_derivative`  (N, 3, 6)     a0^3/Å, last axis xx, xy, yy, zx, zy, zz
    `smiles` `number`            str, int      as published, n of QM9's "gdb_n"
    ===========================  ============  ==============================================================

    The files have no bonds. For methods that need them set `bond_index` and `bond_order` in `pre_transform`, for
    example by :func:`molspectra.data.perceive_bonds`. Octupoles, hyperpolarizabilities and Hessians are left out.
    Spectra are joined to molecules by position: row i of each table belongs to molecule i of `qm9s.pt`, which is
    `<i + 1>.csv` of `qm9s_csv.zip`. The tables may be named `*_boraden.csv`, as published, or `*_broaden.csv`.

    Args:
        root: Folder of the data set. The published files, 20 GB, are below `<root>/raw`. Stored molecules take 5 GB.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
        layout: Source of the molecules: "csv", `qm9s_csv.zip`, read one by one, or "pt", `qm9s.pt`, a pickle, which is
            read as a whole, without running code from it.
        kinds: Spectra to read. Each needs its table.
        force_reload: Read the published files again in any case.
        skip_broken: List broken records in `skipped` instead of raising an error.

    Raises:
        ValueError: a file is damaged, truncated or out of order, or `layout` or a kind is unknown.

    Example:
        >>> QM9S.axes["uv_vis"].length, QM9S.units["polarizability"], QM9S.num_molecules
        (701, 'a0^3', 129817)
    """

    axes: ClassVar[Mapping[str, SpectrumAxis]] = MappingProxyType({"uv_vis": UV_VIS_QM9S, "ir": IR, "raman": RAMAN})
    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "pos": "Å",
            **dict.fromkeys(("uv_vis", "ir", "raman"), "as published"),
            **dict.fromkeys(("energy", "transition_energy"), "eV"),
            "npa_charge": "e",
            **dict.fromkeys(("dipole", "transition_dipole"), "Debye"),
            "quadrupole": "Debye*Å",
            "polarizability": "a0^3",
            "dipole_derivative": "Debye/Å",
            "polarizability_derivative": "a0^3/Å",
        }
    )
    license: ClassVar[str] = "as stated at `source`"
    source: ClassVar[str] = "https://doi.org/10.6084/m9.figshare.24235333"
    citation: ClassVar[str] = (
        "Z. Zou, Y. Zhang, L. Liang, M. Wei, J. Leng, J. Jiang, Y. Luo, W. Hu, A deep learning model for predicting "
        "selected organic molecular spectra, Nat. Comput. Sci. 3, 957 (2023), doi:10.1038/s43588-023-00550-y"
    )
    num_molecules: ClassVar[int | None] = 129_817

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        layout: str = "csv",
        kinds: Sequence[str] = ("uv_vis", "ir", "raman"),
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        check_choice("layout", layout, list(_MOLECULES))
        if unknown := set(kinds) - set(_TABLES):
            raise ValueError(f"kinds must be some of {list(_TABLES)}; got {sorted(unknown)}.")
        self.layout = layout
        self.kinds = tuple(kind for kind in _TABLES if kind in kinds)
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the published files, as they are on this machine."""
        return [_MOLECULES[self.layout], *map(self._table, self.kinds)]

    @property
    def processed_dir(self) -> str:
        """Folder of the stored molecules, one for each layout and choice of spectra."""
        return os.path.join(self.root, "processed", "_".join((self.layout, *self.kinds)))

    def download(self) -> None:
        """Fetch the archive of all published files, and extract those that are missing."""
        raw = Path(self.raw_dir)
        missing = [name for name in self.raw_file_names if not (raw / name).is_file()]
        unpack(download(_URL, raw / "qm9s_figshare.zip"), raw, missing, delete=True)

    def molecules(self) -> Iterator[Data]:
        """Read the published files, one molecule at a time, in their order."""
        path, *tables = self.raw_paths
        molecules = _CSVMolecules(path) if self.layout == "csv" else _PickledMolecules(path)
        check_count(path, len(molecules), self.num_molecules)
        axes = [self.axes[kind] for kind in self.kinds]
        rows = [read_rows(table, axis, len(molecules)) for table, axis in zip(tables, axes, strict=True)]
        for index in range(len(molecules)):
            file, record = path, molecules.name(index)
            cells = [next(row) for row in rows]
            try:
                data = molecules.read(index)
                for kind, table, axis, intensities in zip(self.kinds, tables, axes, cells, strict=True):
                    file, record = table, f"in line {index + 2}"
                    data[kind] = parse_intensities(intensities, axis)
            except ValueError as error:
                self.broken(file, record, error)
                continue
            yield data

    def _table(self, kind: str) -> str:
        names = [_TABLES[kind] + ending for ending in _ENDINGS]
        return next((name for name in names if os.path.exists(os.path.join(self.raw_dir, name))), names[0])


class _PickledMolecules:
    """List of molecules in qm9s.pt."""

    def __init__(self, path: str) -> None:
        self._molecules = read_pickled(path)
        if not isinstance(self._molecules, list):
            raise ValueError(f"{path} holds a {type(self._molecules).__name__}; expected a list of molecules.")

    def __len__(self) -> int:
        return len(self._molecules)

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> Data:
        fields = fields_of(self._molecules[index])
        names = ("z", "pos", "smile", "number", *(name for name, _ in _FIELDS.values()))
        if missing := [name for name in names if name not in fields]:
            raise ValueError(f"It lacks the fields {missing}; it has {sorted(fields)}.")
        data = Data(z=numbers_of(fields, "z").long().reshape(-1), pos=numbers_of(fields, "pos").float())
        labels = {field: numbers_of(fields, name) for field, (name, _) in _FIELDS.items()}
        try:
            number = int(fields["number"])
        except (TypeError, ValueError, RuntimeError) as error:  # a list, or a tensor of several numbers
            raise ValueError(f"number must be one integer; got {fields['number']!r}.") from error
        return _with_labels(data, labels, str(fields["smile"]), number)


class _CSVMolecules:
    """Tables in qm9s_csv.zip, one per molecule."""

    def __init__(self, path: str) -> None:
        self._archive = ZipArchive(path)
        stems = {name: PurePosixPath(name).stem for name in self._archive.names if name.endswith(".csv")}
        self._names = {int(stem): name for name, stem in stems.items() if stem.isdecimal()}
        if sorted(self._names) != list(range(1, len(stems) + 1)):
            gap = next(number for number in range(1, len(stems) + 2) if number not in self._names)
            raise ValueError(
                f"{path} has {len(stems)} tables, without {gap:06d}.csv; expected 000001.csv and so on, without a gap, "
                "as spectra belong to molecules by their place. Fetch it anew."
            )

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return self._names[index + 1]

    def read(self, index: int) -> Data:
        return _parse_table(self._archive.lines(self.name(index)), index + 1)


def _parse_table(lines: Sequence[str], number: int) -> Data:
    """Parse a table of qm9s_csv.zip: a header, then rows that begin with their number and end in empty cells."""
    rows = [_cells(line, row) for row, line in enumerate(lines[1:]) if line.strip()]
    if not rows or len(rows[0]) != 4 or _whole(rows[0][0]) != number:
        got = rows[0] if rows else "nothing"
        raise ValueError(f"Line 2 must be QM9S's number {number}, QM9's, SMILES and the number of atoms; got {got}.")
    _, index, smiles, num_atoms = rows[0]
    n = _whole(num_atoms)
    if n < 1 or len(rows) < _FIRST_ATOM + 3 * n:
        raise ValueError(f"The table has {len(rows)} rows; expected at least {_FIRST_ATOM + 3 * n}, for {n} atoms.")
    take = functools.partial(_numbers, rows)
    values = {field: take(row, row + 1, count).reshape(-1) for field, (row, count) in _TABLE_ROWS.items()}
    values["npa_charge"] = take(2, 3, n).reshape(-1)
    for field in ("quadrupole", "polarizability"):
        values[field] = values[field][_SYMMETRIC]
    atoms, dipoles, polarizabilities = (_FIRST_ATOM + i * n for i in range(3))
    values["dipole_derivative"] = take(dipoles, dipoles + n, 9)
    values["polarizability_derivative"] = take(polarizabilities, polarizabilities + n, 18)
    geometry = take(atoms, atoms + n, 4)
    data = Data(z=geometry[:, 0].round().long(), pos=geometry[:, 1:].float())
    return _with_labels(data, values, smiles, _whole(index))


def _whole(text: str) -> int:
    """Convert an integer, which the tables write as a float."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"expected an integer; got {text!r}.")
    return int(number)


def _cells(line: str, row: int) -> list[str]:
    number, *cells = line.rstrip("\r\n,").split(",")
    if number != str(row):
        raise ValueError(f"Line {row + 2} must be row {row}; got {number!r}. Lines are missing or moved.")
    return cells


def _numbers(rows: Sequence[Sequence[str]], start: int, stop: int, count: int) -> Tensor:
    """Convert rows start to stop - 1, with `count` numbers each, (stop - start, count) float64."""
    for row in range(start, stop):
        if len(rows[row]) != count:
            raise ValueError(f"Line {row + 2} must have {count} numbers; got {len(rows[row])}.")
    return torch.tensor([list(map(float, rows[row])) for row in range(start, stop)], dtype=torch.float64)


def _with_labels(data: Data, values: Mapping[str, Tensor], smiles: str, number: int) -> Data:
    check_molecules(data.z, data.pos, batch=None)
    for field, (_, (rows, *row)) in _FIELDS.items():
        shape = (len(data.z) if rows == -1 else rows, *row)
        value = values[field].to(torch.float64 if field == "energy" else torch.float32)
        if value.numel() != math.prod(shape):
            raise ValueError(f"{field} has shape {tuple(value.shape)}; expected {shape}, for {len(data.z)} atoms.")
        data[field] = value.reshape(shape).clone()
        if not bool(data[field].isfinite().all()):
            raise ValueError(f"{field} is not finite.")
    data.smiles, data.number = smiles, number
    return data
