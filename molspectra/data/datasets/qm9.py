"""QM9: 131 thousand small organic molecules with 19 properties."""

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from torch_geometric.data import Data

from molspectra._download import download
from molspectra._validation import check_choice
from molspectra.data.datasets.stored import StoredDataset, check_count
from molspectra.data.io.archives import file_lines, tar_files, unpack
from molspectra.data.io.qm9_xyz import PROPERTIES, TARGETS, parse_qm9_xyz, set_targets
from molspectra.data.io.sdf import SDFRecord, parse_record, read_records

_URL = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/molnet_publish/qm9.zip"
_FIGSHARE = "https://ndownloader.figshare.com/files/"
_SDF, _CSV, _UNCHARACTERIZED, _XYZ = "gdb9.sdf", "gdb9.sdf.csv", "uncharacterized.txt", "dsgdb9nsd.xyz.tar.bz2"
_NUM_RECORDS, _NUM_UNCHARACTERIZED = 133_885, 3_054
_UNCHARACTERIZED_HEADER = 9  # lines

_COLUMNS = (
    *("mol_id", "A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv"),
    *("u0_atom", "u298_atom", "h298_atom", "g298_atom"),
)


class QM9(StoredDataset):
    """QM9 (Ramakrishnan et al., Sci. Data 1, 140022, 2014): up to nine of C, N, O, F, one conformer each, B3LYP.

    =================================================  =============  ===============================================
    field                                              shape          unit, meaning
    =================================================  =============  ===============================================
    `z` `pos`                                          (N,) (N, 3)    atomic number, Å
    `bond_index` `bond_order`                          (2, B) (B,)    i < j, and 1, 2, 3 (no aromatic bonds)
    `mu` `alpha` `r2`                                  (1,)           Debye, a0^3, a0^2
    `homo` `lumo` `gap` `zpve`                         (1,)           eV
    `u0` `u298` `h298` `g298`                          (1,)           eV, float64: totals at 0 K and 298.15 K
    `u0_atom` `u298_atom` `h298_atom` `g298_atom`      (1,)           eV: the same minus those of the free atoms
    `cv`                                               (1,)           cal/mol/K, at 298.15 K
    `rotational_a` `rotational_b` `rotational_c`       (1,)           GHz
    `name`                                             str            "gdb_1" to "gdb_133885"
    =================================================  =============  ===============================================

    The 3,054 molecules of `uncharacterized.txt`, whose geometry may belong to another molecule, are left out, as in
    :class:`torch_geometric.datasets.QM9`. :func:`read_uncharacterized` lists them. Units agree with PyG, and
    `QM9.targets[i]` names target i of its `y`. PyG's factor for kcal/mol has seven digits, so that its atomization
    energies are larger by a fraction of 8e-7. The file writes zwitterions without charges: no `formal_charge`.

    The original archive (`layout="xyz"`) has the same molecules without bonds and without the `_atom` fields. It adds
    `mulliken_charge` (N,), e, and `smiles`.

    Args:
        root: Folder of the data set. The published files are below `<root>/raw`.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
        keep_uncharacterized: Keep all 133,885 molecules.
        layout: "sdf", the files `gdb9.sdf` and `gdb9.sdf.csv`, or "xyz", the archive `dsgdb9nsd.xyz.tar.bz2`.
        force_reload: Read the published files again in any case.
        skip_broken: List broken records in `skipped` instead of raising an error.

    Raises:
        ValueError: a file is damaged, truncated or out of order, or `layout` is unknown.

    Example:
        >>> QM9.targets[7], QM9.units["u0"], QM9.num_molecules
        ('u0', 'eV', 130831)
    """

    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"pos": "Å", **{name: unit for name, (_, unit, _) in TARGETS.items()}, "mulliken_charge": "e"}
    )
    license: ClassVar[str] = "as stated at `source`"
    source: ClassVar[str] = "https://doi.org/10.6084/m9.figshare.c.978904"
    citation: ClassVar[str] = (
        "R. Ramakrishnan, P. O. Dral, M. Rupp, O. A. von Lilienfeld, Quantum chemistry structures and properties of "
        "134 kilo molecules, Sci. Data 1, 140022 (2014), doi:10.1038/sdata.2014.22"
    )
    num_molecules: ClassVar[int | None] = _NUM_RECORDS - _NUM_UNCHARACTERIZED
    targets: ClassVar[tuple[str, ...]] = tuple(TARGETS)
    """Fields of the 19 properties, in the order of PyG's `y`."""

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        keep_uncharacterized: bool = False,
        layout: str = "sdf",
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        check_choice("layout", layout, ("sdf", "xyz"))
        self.layout = layout
        self.keep_uncharacterized = keep_uncharacterized
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the published files."""
        files = [_SDF, _CSV] if self.layout == "sdf" else [_XYZ]
        return files if self.keep_uncharacterized else [*files, _UNCHARACTERIZED]

    @property
    def processed_dir(self) -> str:
        """Folder of the stored molecules, one for each choice of them."""
        return os.path.join(self.root, "processed", self.layout + ("_all" if self.keep_uncharacterized else ""))

    def download(self) -> None:
        """Fetch the published files that are missing."""
        raw = Path(self.raw_dir)
        if not all((raw / name).is_file() for name in self.raw_file_names if name in (_SDF, _CSV)):
            unpack(download(_URL, raw / "qm9.zip"), raw, [_SDF, _CSV], delete=True)
        if self.layout == "xyz":
            download(f"{_FIGSHARE}3195389", raw / _XYZ)
        if not self.keep_uncharacterized:
            download(f"{_FIGSHARE}3195404", raw / _UNCHARACTERIZED)

    def molecules(self) -> Iterator[Data]:
        """Read the published files, one molecule at a time, in order of their numbers."""
        excluded: frozenset[int] = frozenset()
        if not self.keep_uncharacterized:
            excluded = read_uncharacterized(Path(self.raw_dir) / _UNCHARACTERIZED)
        kept = 0
        for number, read in self._read_sdf() if self.layout == "sdf" else self._read_xyz():
            if number in excluded:
                continue
            kept += 1
            try:
                data = read()
            except ValueError as error:
                self.broken(self.raw_paths[0], f"gdb_{number}", error)
                continue
            yield data
        expected = self.num_molecules
        if expected is not None and self.keep_uncharacterized:
            expected += _NUM_UNCHARACTERIZED
        check_count(", ".join(self.raw_paths), kept, expected)

    def _read_sdf(self) -> Iterator[tuple[int, Callable[[], Data]]]:
        """Yield the number of each molecule, and a function that parses it."""
        sdf, csv = self.raw_paths[:2]
        rows = (line.strip() for line in file_lines(csv))
        _check_header(csv, next(rows, ""))
        records = 0
        for record in read_records(file_lines(sdf), sdf):
            row = next(rows, "").split(",")
            _check_order(sdf, csv, record, row[0])
            records = record.number
            yield int(row[0].removeprefix("gdb_")), functools.partial(_from_sdf, record, row)
        if rest := sum(1 for row in rows if row):
            raise ValueError(
                f"{sdf} has {records} records and {csv} {records + rest} rows; expected one record a row, so the first "
                "is truncated. Fetch it anew."
            )

    def _read_xyz(self) -> Iterator[tuple[int, Callable[[], Data]]]:
        """Yield the same from the original archive."""
        for name, lines in tar_files(self.raw_paths[0], ".xyz"):
            number = re.search(r"_(\d+)\.xyz$", name)
            if number is None:
                raise ValueError(
                    f"{self.raw_paths[0]} has a file {name}; expected dsgdb9nsd_NNNNNN.xyz. Fetch it anew."
                )
            yield int(number[1]), functools.partial(_from_xyz, int(number[1]), list(lines))


def read_uncharacterized(path: str | Path) -> frozenset[int]:
    """Read the numbers of the molecules whose relaxed geometry QM9's authors could not map back to the original SMILES.

    Args:
        path: `uncharacterized.txt`, as published: nine lines of header, then rows that begin with a number.

    Returns:
        Numbers n of "gdb_n".

    Raises:
        ValueError: the file lists none.
    """
    rows = list(file_lines(path))[_UNCHARACTERIZED_HEADER:]
    numbers = frozenset(int(row.split()[0]) for row in rows if re.match(r"\s*\d+\s", row))
    if not numbers:
        raise ValueError(
            f"{path} has no row after {_UNCHARACTERIZED_HEADER} lines of header; expected rows that begin with the "
            "number of a molecule. Fetch it anew."
        )
    return numbers


def _check_header(file: str, header: str) -> None:
    names = tuple(header.split(","))
    if names != _COLUMNS:
        raise ValueError(f"{file}, line 1: expected the columns {','.join(_COLUMNS)}; got {header!r}.")


def _check_order(sdf: str, csv: str, record: SDFRecord, name: str) -> None:
    """Refuse files of different molecules. A damaged title makes a broken record, and is reported later."""
    line = record.number + 1
    if not re.fullmatch(r"gdb_\d+", name):
        raise ValueError(
            f"{csv}, line {line}: expected the name of record {record.number} of {sdf}, {record.title!r}; got "
            f"{name!r}. The file is truncated or damaged: fetch it anew."
        )
    if record.title != name and re.fullmatch(r"gdb_\d+", record.title):
        raise ValueError(
            f"{sdf}, line {record.first_line}: record {record.number} is {record.title}, and line {line} of {csv} is "
            f"{name}; expected the same order. Fetch both files anew."
        )


def _from_sdf(record: SDFRecord, row: Sequence[str]) -> Data:
    if record.title != row[0]:
        raise ValueError(f"Line {record.first_line}: the title must be {row[0]}; got {record.title!r}.")
    if len(row) != len(_COLUMNS):
        raise ValueError(f"Row {row[0]} of {_CSV} must have {len(_COLUMNS)} cells; got {len(row)}.")
    data = parse_record(record)
    del data.formal_charge
    return set_targets(data, row[0], dict(zip(_COLUMNS[1:], row[1:], strict=True)))


def _from_xyz(number: int, lines: Sequence[str]) -> Data:
    data = parse_qm9_xyz(lines)
    if data.name != f"gdb_{number}":
        raise ValueError(f"Line 2 must be gdb {number} and {len(PROPERTIES)} numbers; got {lines[1].strip()!r}.")
    return data
