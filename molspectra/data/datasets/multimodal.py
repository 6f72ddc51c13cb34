"""The Multimodal Spectroscopic Dataset: infrared, NMR and mass spectra of molecules from patents."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch_geometric.data import Data

from molspectra._download import download
from molspectra.data.chemistry.smiles import from_smiles
from molspectra.data.datasets.multimodal_peaks import (
    PEAK_TABLES,
    mass_axis_of,
    peak_list,
    precursors_of,
    read_peak_table,
)
from molspectra.data.datasets.stored import StoredDataset
from molspectra.data.io.archives import ZipArchive, unpack
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.peaks import sum_in_bins

_ARCHIVE = "multimodal_spectroscopic_dataset.zip"
_URL = f"https://zenodo.org/records/11611178/files/{_ARCHIVE}"
_UNPACKED, _UNFINISHED = "shards", "shards.part"
_ROWS = 64  # rows in memory: a row of all kinds has 0.2 MB
# The published grids include both ends. Those of NMR run from high to low shift.
_CURVES = {"ir": "ir_spectra", "h_nmr": "h_nmr_spectra", "c_nmr": "c_nmr_spectra"}
_DESCENDING = ("h_nmr", "c_nmr")
_PEAKS = {
    **{
        f"msms_{mode}_{energy}ev": f"msms_cfmid_{mode}_{energy}ev"
        for mode in ("positive", "negative")
        for energy in (10, 20, 40)
    },
    "msms_iceberg": "msms_iceberg_positive",
    "msms_scarf": "msms_scarf_positive",
}
_GRIDS = {**_CURVES, **_PEAKS}
_LISTS = {
    **{kind: table.column for kind, table in PEAK_TABLES.items()},
    **{f"{kind}_peaks": column for kind, column in _PEAKS.items()},
}
_COLUMNS = {**_GRIDS, **_LISTS}
_MASS = SpectrumAxis("msms", 0, 1000, 1, "m/z")


class MultimodalSpectra(StoredDataset):
    """Computed infrared, NMR and mass spectra of 790 thousand molecules out of patents (Alberts et al. 2024).

    =======================  ==============================================================================
    field                    axis, meaning
    =======================  ==============================================================================
    `ir`                     400 to 4000 cm^-1, 1800 samples (a step of 2.0011), from molecular dynamics
    `h_nmr`                  -2 to 10 ppm, 10000 samples, ascending, of 1H
    `c_nmr`                  -20 to 230 ppm, 10000 samples, ascending, of 13C
    `msms_positive_10ev` …   `mass_axis`, CFM-ID at 10, 20 or 40 eV, `msms_negative_10ev` … likewise
    `msms_iceberg` `_scarf`  `mass_axis`, positive ions, two more programs
    `h_nmr_peaks`            (1, K, 3): ppm, number of 1H, class of the multiplicity (NaN for rare ones)
    `c_nmr_peaks`            (1, K, 2): ppm, intensity
    `hsqc_peaks`             (1, K, 3): ppm of 13C, ppm of 1H, number of 1H
    `msms_…_peaks`           (1, K, 2): m/z, intensity, of each of the mass spectra
    `precursor_mz_positive`  (1, 1): m/z of [M+H]+, beside lists of mass peaks, `precursor_mz_negative` of [M-H]-
    =======================  ==============================================================================

    and `z`, `pos`, `bond_index`, `bond_order`, `formal_charge`, `smiles` as :func:`molspectra.data.from_smiles` makes
    them: **the published files have no geometries**. Positions are one conformer from RDKit, MMFF94 or UFF, the same
    for the same seed and version of RDKit. The spectra were computed for other geometries.

    Intensities are in arbitrary units: `ir` is scaled to a maximum of 1 for each molecule (and slightly negative in
    places), mass spectra to a strongest peak of 100. Each peak of a mass spectrum is added to the nearest sample. A
    spectrum that is missing, or has no peaks, is a row of NaN. The two-dimensional HSQC spectra and fragments are not
    read. Lists of peaks must be asked for by `kinds`, and `peak_axes` has a :class:`~molspectra.data.PeakAxis` for
    each. Spectra are not corrected: in the two published samples of 100 molecules each, 18 `c_nmr` spectra lack most of
    the peaks that the file's own tables list for them.

    A molecule with all kinds takes about 0.12 MB on disk (95 GB in total), half of it for NMR spectra: choose `kinds`.

    Args:
        root: Folder of the data set. The published shards (`*.parquet`), all or some of them, are expected anywhere in
            `<root>/raw`. Otherwise the published archive (`multimodal_spectroscopic_dataset.zip`) is downloaded there
            and unpacked.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
            The conformer is made before.
        kinds: Names of the spectra wanted, or None for all those on a grid.
        mass_axis: Axis of the mass spectra. A peak beyond it is an error.
        seed: Seed of the conformers.
        force_reload: Read the published files again in any case.
        skip_broken: List broken records in `skipped` instead of raising an error. A record is a row of a shard, with
            its SMILES, and is also broken if RDKit finds no conformer.

    Raises:
        ImportError: pyarrow or RDKit is not installed.
        ValueError: a kind is unknown, a shard is damaged or lacks a column, a spectrum is broken, or a molecule cannot
            be made. The message names the shard and the row.
    """

    license: ClassVar[str] = "as stated by the source"
    source: ClassVar[str] = "https://doi.org/10.5281/zenodo.11611178"
    citation: ClassVar[str] = (
        "M. Alberts, O. Schilter, F. Zipoli, N. Hartrampf, T. Laino, Unraveling Molecular Structure: A Multimodal "
        "Spectroscopic Dataset for Chemistry, NeurIPS 2024, arXiv:2407.17492"
    )
    units: ClassVar[Mapping[str, str]] = MappingProxyType({"pos": "Å", **dict.fromkeys(_COLUMNS, "arbitrary")})
    axes: ClassVar[Mapping[str, SpectrumAxis]] = MappingProxyType(
        {
            "ir": SpectrumAxis("ir", 400, 4000, 3600 / 1799, "cm^-1"),
            "h_nmr": SpectrumAxis("h_nmr", -2, 10, 12 / 9999, "ppm"),
            "c_nmr": SpectrumAxis("c_nmr", -20, 230, 250 / 9999, "ppm"),
            **{kind: SpectrumAxis(kind, _MASS.start, _MASS.stop, _MASS.step, _MASS.unit) for kind in _PEAKS},
        }
    )

    peak_axes: ClassVar[Mapping[str, PeakAxis]] = MappingProxyType(
        {
            **{kind: table.axis for kind, table in PEAK_TABLES.items()},
            **{kind: mass_axis_of(kind) for kind in _LISTS if kind not in PEAK_TABLES},
        }
    )
    """Kind of spectrum that is a list of peaks → its axis."""

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        kinds: Sequence[str] | None = None,
        mass_axis: SpectrumAxis = _MASS,
        seed: int = 0,
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        kinds = tuple(_GRIDS) if kinds is None else tuple(kinds)
        if not kinds or set(kinds) - set(_COLUMNS) or len(set(kinds)) < len(kinds):
            raise ValueError(f"kinds must be some of {list(_COLUMNS)}, each once; got {list(kinds)}.")
        if mass_axis.unit != _MASS.unit:
            raise ValueError(f"mass_axis must be in {_MASS.unit}; got {mass_axis.unit!r}.")
        self.kinds, self.mass_axis, self.seed = tuple(kind for kind in _COLUMNS if kind in kinds), mass_axis, seed
        # The class attribute has the axes of all kinds by default, the attribute of the object those it reads.
        grids = [kind for kind in self.kinds if kind in _GRIDS]
        own = {kind: self.axes[kind] if kind in _CURVES else _named(kind, mass_axis) for kind in grids}
        self.axes = own  # type: ignore[misc]
        self.peak_axes = {kind: axis for kind, axis in self.peak_axes.items() if kind in self.kinds}  # type: ignore[misc]
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @property
    def processed_dir(self) -> str:
        """Folder of the stored molecules, one for each choice of kinds, axis and seed."""
        axis = self.mass_axis
        grid = f"{axis.start:g}_{axis.stop:g}_{axis.step:g}" if set(self.kinds) & set(_PEAKS) else ""
        kinds = "all" if self.kinds == tuple(_GRIDS) else "-".join(self.kinds)
        return str(Path(self.root) / "processed" / "_".join(filter(None, [kinds, grid, f"seed_{self.seed}"])))

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the shards in the folder, or of the archive if it has none."""
        raw = Path(self.raw_dir)
        found = (path for path in raw.rglob("*.parquet") if path.parent.name != _UNFINISHED)
        shards = sorted((str(path.relative_to(raw)) for path in found), key=_by_number)
        return shards or [_ARCHIVE]

    def download(self) -> None:
        """Fetch the published archive and take the shards out of it, all or none."""
        _import_pyarrow()  # fails now, not after hours of downloading
        _unpack(download(_URL, Path(self.raw_dir) / _ARCHIVE), Path(self.raw_dir))

    def molecules(self) -> Iterator[Data]:
        """Read the molecules shard by shard, with a few rows in memory at a time."""
        if self.raw_file_names == [_ARCHIVE]:  # put there by hand
            self.download()
        for path in map(Path, self.raw_paths):
            columns = dict.fromkeys(_COLUMNS[kind] for kind in self.kinds)  # each once
            for row, record in enumerate(_rows(path, ["smiles", *columns])):
                try:
                    data = self._molecule(record)
                except ValueError as error:
                    self.broken(path, f"{row} ({record['smiles']})", error)
                    continue
                yield data

    def _molecule(self, record: Mapping[str, Any]) -> Data:
        if not isinstance(record["smiles"], str):
            raise ValueError("it has no SMILES.")
        spectra = {kind: _spectrum(kind, record[_COLUMNS[kind]], self.axes[kind]) for kind in self.axes}
        spectra |= {kind: _peaks(kind, record[_COLUMNS[kind]]) for kind in self.peak_axes}
        data = from_smiles(record["smiles"], seed=self.seed)
        for name, value in {**spectra, **precursors_of(data, self.peak_axes)}.items():
            data[name] = value
        return data


def bin_peaks(peaks: Sequence[Sequence[float]] | np.ndarray, axis: SpectrumAxis) -> Float32[Tensor, "1 length"]:
    """Add each peak of a list to the sample of an axis that is nearest to it.

    Args:
        peaks: Position and intensity of each peak, (K, 2).
        axis: The axis wanted.

    Returns:
        (1, L), with the sum of the intensities.

    Raises:
        ValueError: `peaks` has another shape, or a peak is not finite, negative or beyond the axis (by more than half a
            step).

    Example:
        >>> bin_peaks([[15.02, 30.0], [14.9, 1.0], [18.01, 100.0]], ms.data.SpectrumAxis("ms", 14, 18, 1, "m/z"))
        tensor([[  0.,  31.,   0.,   0., 100.]])
    """
    table = torch.as_tensor(np.asarray(peaks, dtype=np.float64))
    if table.dim() != 2 or table.shape[1] != 2:
        raise ValueError(f"peaks must have shape (K, 2), position and intensity; got {tuple(table.shape)}.")
    position, intensity = table.unbind(dim=1)
    if not bool(table.isfinite().all()) or bool((intensity < 0).any()):
        raise ValueError("peaks must be finite and not negative; they are not. Drop or repair them.")
    sample = ((position - axis.start) / axis.step).round().long()
    outside = (sample < 0) | (sample >= axis.length)
    if bool(outside.any()):
        raise ValueError(
            f"peaks must lie on the axis {axis.name!r}, {axis.start:g} to {axis.stop:g} {axis.unit}; got one at "
            f"{float(position[outside][0]):g}. Pass a longer axis (mass_axis)."
        )
    return sum_in_bins(position, intensity, axis).float().reshape(1, -1)


def _spectrum(kind: str, values: Any, axis: SpectrumAxis) -> Tensor:
    numbers = None if values is None else _floats(values, _COLUMNS[kind])
    if numbers is None or numbers.size == 0:
        return torch.full((1, axis.length), torch.nan, dtype=torch.float32)
    if kind in _PEAKS:
        return bin_peaks(numbers, axis)
    spectrum = torch.as_tensor(numbers).float()
    if spectrum.shape != (axis.length,):
        raise ValueError(f"{_CURVES[kind]} must have {axis.length} values; got shape {tuple(spectrum.shape)}.")
    if not bool(spectrum.isfinite().all()):
        raise ValueError(f"{_CURVES[kind]} must be finite; value {int((~spectrum.isfinite()).nonzero()[0])} is not.")
    return (spectrum.flip(0) if kind in _DESCENDING else spectrum).reshape(1, -1)


def _peaks(kind: str, values: Any) -> Tensor:
    if kind in PEAK_TABLES:
        return read_peak_table(kind, values)
    return peak_list(_LISTS[kind], [list(peak) for peak in values or []], mass_axis_of(kind))


def _floats(values: Any, column: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:  # as of empty cells, text or peaks of different lengths
        raise ValueError(f"{column} must hold numbers, and peaks pairs of numbers: {error}.") from error


def _rows(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Read the rows of a shard, a few in memory at a time."""
    pyarrow = _import_pyarrow()
    row = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as shard:
            if missing := sorted(set(columns) - set(shard.schema_arrow.names)):
                raise ValueError(f"it lacks the columns {missing} and has {shard.schema_arrow.names}")
            for batch in shard.iter_batches(batch_size=_ROWS, columns=columns):
                for record in batch.to_pylist():
                    yield record
                    row += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read after row {row}: {error}. Fetch the shard again.") from error
    except ValueError as error:
        raise ValueError(f"{path} is no shard of the data set: {error}. Fetch the shard again.") from error


def _import_pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "MultimodalSpectra needs pyarrow; install it with `pip install molspectra[datasets]`."
        ) from error
    return pyarrow


def _named(kind: str, axis: SpectrumAxis) -> SpectrumAxis:
    return SpectrumAxis(kind, axis.start, axis.stop, axis.step, axis.unit)


def _by_number(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts chunk_2 before chunk_10."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _unpack(archive: Path, folder: Path) -> None:
    """Extract the shards of a zip archive to a folder, which gets its name when all are complete."""
    with ZipArchive(archive) as opened:
        names = {PurePosixPath(name).name for name in opened.names if name.endswith(".parquet")}
    if not names:
        raise ValueError(f"{archive} holds no .parquet. Delete it, and it is fetched again.")
    part = folder / _UNFINISHED
    shutil.rmtree(part, ignore_errors=True)
    unpack(archive, part, names)
    part.replace(folder / _UNPACKED)
