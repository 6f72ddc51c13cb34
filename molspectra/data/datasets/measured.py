"""MeasuredSpectra: a user's folder of measured spectra, with the molecules they belong to."""

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import check_choice
from molspectra.data.chemistry.shared_conformer import SharedConformer
from molspectra.data.datasets.stored import StoredDataset
from molspectra.data.io.any_spectrum import JCAMP_FILES, missing_spectrum, read_any_spectrum
from molspectra.data.io.stated_structure import StatedStructure, smiles_of_inchi, stated_structure
from molspectra.data.io.tables import is_reserved
from molspectra.data.io.text import open_text
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis

_TABLES = ("spectra.csv", "spectra.tsv")


class MeasuredSpectra(StoredDataset):
    r"""Measured spectra in a folder of yours, each with the molecule that it belongs to.

    Molecules and spectra are found in one of these ways:

    - A table, `spectra.csv` or `spectra.tsv`, with the columns `smiles` and one for each kind, whose cells name files.
      An empty cell is a spectrum that was not measured, a row of NaN.
    - A table with the columns `smiles` and `file`, and `kind` if `axes` has several kinds. Each row is a molecule.
    - JCAMP-DX files alone, with the structure in their label SMILES, `$SMILES`, INCHI or `$INCHI`. DATA TYPE (infrared,
      Raman, UV, mass) or .OBSERVE NUCLEUS tells the kind if there are several. With a table of `cas` and `smiles`, the
      label CAS REGISTRY NO tells the structure.

    Curves are read from JCAMP-DX, text files with columns and Bruker directories, lists of peaks from JCAMP-DX, tables,
    MSP, MGF and MassBank: see :func:`molspectra.data.read_jcamp`, `read_spectrum_table`, `read_bruker` and
    `read_peak_list`. A molecule has a field for each kind, (1, L) or (1, K, 2), `smiles`, `name` and, if wanted, `z`,
    `pos`, `bond_index`, `bond_order` and `formal_charge`. The fields are stored below `<root>/processed`:
    `force_reload=True` reads changed files again.

    Args:
        root: The folder.
        axes: Kind of spectrum → its axis, a :class:`~molspectra.data.SpectrumAxis` for curves, a
            :class:`~molspectra.data.PeakAxis` of one position for lists of peaks.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
        options: Kind → arguments of its reader, such as `{"ir": {"min_transmittance": 1e-3}}`.
        conformers: Make a conformer of each molecule, by :func:`molspectra.data.from_smiles`.
        seed: Seed of the conformers.
        force_reload: Read the files again in any case.
        skip_broken: List spectra that cannot be read in `skipped`, with the reason, instead of raising an error.

    Raises:
        FileNotFoundError: the folder has neither a table nor JCAMP-DX files.
        ImportError: RDKit is needed and not installed.
        ValueError: a kind has a name that cannot be a field, the table lacks a column, a file has no structure, or a
            spectrum cannot be read.

    Example:
        >>> _ = (tmp_path / "a.csv").write_text("wavenumber (cm-1),A\n1000,0.1\n1002,0.5\n1004,0.2\n")
        >>> _ = (tmp_path / "spectra.csv").write_text("smiles,ir\nCCO,a.csv\n")
        >>> axis = ms.data.SpectrumAxis("ir", 1000, 1004, 2, "cm^-1")
        >>> MeasuredSpectra(tmp_path, {"ir": axis}, conformers=False)[0].ir
        tensor([[0.1000, 0.5000, 0.2000]])
    """

    def __init__(
        self,
        root: str | Path,
        axes: Mapping[str, SpectrumAxis | PeakAxis],
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        conformers: bool = True,
        seed: int = 0,
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        _check_axes(axes)
        self.axes = dict(axes)  # type: ignore[misc, arg-type]
        self.options = {kind: dict((options or {}).get(kind, {})) for kind in axes}
        for kind in options or {}:
            check_choice("kind of options", kind, list(axes))
        self.conformers, self.seed = conformers, seed
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @property
    def raw_dir(self) -> str:
        """The folder itself, in which the spectra are."""
        return str(self.root)

    @property
    def processed_dir(self) -> str:
        """Folder of the stored molecules, one for each choice of axes, options and conformers."""
        choice = repr((sorted(self.axes.items()), sorted(self.options.items()), self.conformers, self.seed))
        return str(Path(self.root) / "processed" / hashlib.sha256(choice.encode()).hexdigest()[:16])

    @property
    def raw_file_names(self) -> list[str]:
        """The table, or the JCAMP-DX files, or the table that is missing."""
        found = [name for name in _TABLES if (Path(self.root) / name).is_file()]
        return found[:1] or [str(path.relative_to(self.root)) for path in self._jcamp_files()] or list(_TABLES[:1])

    def molecules(self) -> Iterator[Data]:
        """Read the molecules in the order of the table, or of the names of files."""
        conformer = SharedConformer(self.seed)
        for place, name, smiles, files in self._entries():
            try:
                if isinstance(files, ValueError):
                    raise files
                spectra = {kind: self._spectrum(kind, files.get(kind)) for kind in self.axes}
                data = conformer(smiles) if self.conformers else Data()
            except (ValueError, FileNotFoundError, IsADirectoryError) as error:
                self.broken(*place, error)
                continue
            data.smiles, data.name = smiles, name
            for kind, spectrum in spectra.items():
                data[kind] = spectrum
            yield data

    def _spectrum(self, kind: str, file: Path | None) -> Tensor:
        axis: SpectrumAxis | PeakAxis = self.axes[kind]
        return missing_spectrum(axis) if file is None else read_any_spectrum(file, axis, self.options[kind])

    def _entries(self) -> Iterator["_Entry"]:
        """Yield place, name, SMILES, and the file of each kind, or the reason why there is none."""
        table = Path(self.raw_paths[0])
        if table.name not in _TABLES:
            yield from (self._by_label(path, {}) for path in self._jcamp_files())
            return
        names, rows = _table(table)
        if "cas" in names and "file" not in names and not set(self.axes) & set(names):
            smiles_of = {row["cas"]: row["smiles"] for _, row in rows}
            yield from (self._by_label(path, smiles_of) for path in self._jcamp_files())
            return
        _check_columns(table, names, list(self.axes))
        for number, row in rows:
            place = table, f"line {number} ({row.get('smiles', '')})"
            try:
                files = self._files(row)
            except ValueError as error:
                yield place, "", "", error
                continue
            name = row.get("name") or next(file.stem for file in files.values())
            yield place, name, row["smiles"], files

    def _files(self, row: Mapping[str, str]) -> dict[str, Path]:
        """Return the file of each kind of a row.

        Raises:
            ValueError: the row has another number of cells, no SMILES, no file or an unknown kind.
        """
        if not row:
            raise ValueError("the row has another number of cells than the table has columns.")
        if not row["smiles"]:
            raise ValueError("it has no SMILES.")
        if "file" in row:
            kind = row.get("kind") or next(iter(self.axes))
            check_choice("kind", kind, list(self.axes))
            named = {kind: row["file"]}
        else:
            named = {kind: row[kind] for kind in self.axes if kind in row}
        files = {kind: Path(self.root) / name for kind, name in named.items() if name}
        if not files:
            raise ValueError("it names no file.")
        return files

    def _jcamp_files(self) -> list[Path]:
        found = (path for path in Path(self.root).rglob("*") if path.suffix.lower() in JCAMP_FILES and path.is_file())
        return sorted(path for path in found if "processed" not in path.relative_to(self.root).parts[:1])

    def _by_label(self, path: Path, smiles_of_cas: Mapping[str, str]) -> "_Entry":
        """Return the entry of a JCAMP-DX file that states its structure."""
        place = path, "1"
        try:
            stated = stated_structure(path)
            kind = stated.kind if len(self.axes) > 1 else next(iter(self.axes))
            if kind not in self.axes:
                raise ValueError(f"its kind must be one of {list(self.axes)}; its DATA TYPE says {kind!r}.")
            return place, stated.title or path.stem, _smiles(stated, smiles_of_cas), {kind: path}
        except ValueError as error:
            return place, path.stem, "", error


_Entry = tuple[tuple[Path, str], str, str, dict[str, Path] | ValueError]


def _smiles(stated: StatedStructure, smiles_of_cas: Mapping[str, str]) -> str:
    if stated.smiles:
        return stated.smiles
    if stated.inchi:
        return smiles_of_inchi(stated.inchi)
    if smiles_of_cas.get(stated.cas):
        return smiles_of_cas[stated.cas]
    raise ValueError(
        f"it must state its structure, as ##$SMILES= or ##$INCHI=, or its CAS number {stated.cas!r} must be in a table "
        "spectra.csv with the columns cas and smiles. Or name the file in a table with the columns file and smiles."
    )


def _table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read the names of the columns and the rows with their lines, empty for one with another number of cells."""
    with open_text(path) as lines:
        rows = csv.reader(lines, delimiter="\t" if path.suffix == ".tsv" else ",")
        names = [name.strip() for name in next(rows, [])]
        if "smiles" not in names or len(set(names)) < len(names):
            raise ValueError(f"{path} must have a column smiles, and each column once; got {names}. Repair its header.")
        found = []
        for cells in rows:
            if any(cell.strip() for cell in cells):
                row = dict(zip(names, map(str.strip, cells), strict=True)) if len(cells) == len(names) else {}
                found.append((rows.line_num, row))
    return names, found


def _check_columns(table: Path, names: list[str], kinds: list[str]) -> None:
    has_files = bool(set(kinds) & set(names)) or ("file" in names and ("kind" in names or len(kinds) == 1))
    if not has_files:
        raise ValueError(
            f"{table} must have a column for each kind, of {kinds}, or the columns file and kind; got {names}. Repair "
            "its header."
        )


def _check_axes(axes: Mapping[str, SpectrumAxis | PeakAxis]) -> None:
    if not isinstance(axes, Mapping) or not axes:
        raise TypeError(f'axes must map kinds to axes, such as {{"ir": molspectra.data.IR}}; got {axes!r}.')
    for kind, axis in axes.items():
        taken = is_reserved(kind) and kind not in ("ir", "raman", "uv_vis")
        if not kind.isidentifier() or taken or kind in ("file", "kind", "cas"):
            raise ValueError(f"Kinds must be free names of fields; got {kind!r}. Rename the kind.")
        if not isinstance(axis, SpectrumAxis | PeakAxis) or (isinstance(axis, PeakAxis) and axis.num_positions > 1):
            raise TypeError(f"axes[{kind!r}] must be a SpectrumAxis, or a PeakAxis of one position; got {axis!r}.")
