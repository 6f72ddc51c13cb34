"""The Multimodal Spectroscopic Dataset: infrared, NMR and mass spectra of molecules from patents."""

import re
import shutil
import zipfile
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
from molspectra.data.datasets.stored import BROKEN, StoredDataset
from molspectra.spectra.axis import SpectrumAxis

_ARCHIVE = "multimodal_spectroscopic_dataset.zip"
_URL = f"https://zenodo.org/records/11611178/files/{_ARCHIVE}"
_UNPACKED, _UNFINISHED = "shards", "shards.part"
_ROWS = 64  # at a time: a row of all kinds is 0.2 MB
# The published grids have both ends and 1800 or 10000 points; those of NMR are published from high to low shift.
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
_COLUMNS = {**_CURVES, **_PEAKS}
_MASS = SpectrumAxis("msms", 0, 1000, 1, "m/z")


class MultimodalSpectra(StoredDataset):
    """Computed infrared, NMR and mass spectra of 790 thousand molecules out of patents (Alberts et al. 2024).

    =======================  ==============================================================================
    field                    axis, meaning
    =======================  ==============================================================================
    `ir`                     400 to 4000 cm^-1, 1800 samples (a step of 2.0011); from molecular dynamics
    `h_nmr`                  -2 to 10 ppm, 10000 samples, ascending; 1H
    `c_nmr`                  -20 to 230 ppm, 10000 samples, ascending; 13C
    `msms_positive_10ev` …   `mass_axis`; CFM-ID at 10, 20 or 40 eV, `msms_negative_10ev` … likewise
    `msms_iceberg` `_scarf`  `mass_axis`; positive ions, two more programs
    =======================  ==============================================================================

    and `z`, `pos`, `bond_index`, `bond_order`, `formal_charge`, `smiles` as :func:`molspectra.data.from_smiles` makes
    them: **the published files have no geometries**. Positions are one conformer from RDKit, MMFF94 or UFF, the same
    for the same seed and version of RDKit; they are not those that spectra were computed for.

    Intensities are in arbitrary units: `ir` is scaled to a maximum of 1 for each molecule (and slightly negative in
    places), mass spectra to a strongest peak of 100. A peak of a mass spectrum is added to the nearest sample. A
    spectrum that is missing, or has no peaks, is a row of NaN. The two-dimensional HSQC spectra, tables of peaks and
    fragments are not read. Spectra are taken as published: of the two published samples of 100 molecules each, 18
    `c_nmr` spectra lack most of the peaks that the file's own tables list for them.

    A molecule with all kinds takes about 0.12 MB on disk (95 GB in all), half of it the NMR spectra: choose `kinds`.

    Args:
        root: Folder of the data set. The published shards (`*.parquet`) are expected anywhere in `<root>/raw`, as many
            as you like, or the published archive (`multimodal_spectroscopic_dataset.zip`) is downloaded there and
            unpacked.
        kinds: Names of the spectra wanted, of those above; None for all.
        mass_axis: Axis of the mass spectra. A peak beyond it is an error.
        seed: Seed of the conformers.
        transform: See :class:`molspectra.data.datasets.stored.StoredDataset`, as of the other arguments.
        pre_transform: See there.
        pre_filter: See there. Called after the conformer is made.
        force_reload: See there.
        skip_broken: See there; a record is a row of a shard, with its SMILES. Without, a molecule that RDKit finds no
            conformer for is an error.

    Raises:
        ImportError: pyarrow or RDKit is not installed.
        ValueError: a kind is unknown; a shard is damaged or lacks a column; a spectrum is broken, or a molecule cannot
            be made; the message names the shard and the row.
    """

    licence: ClassVar[str] = "as stated by the source"
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

    def __init__(
        self,
        root: str | Path,
        kinds: Sequence[str] | None = None,
        mass_axis: SpectrumAxis = _MASS,
        seed: int = 0,
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        kinds = tuple(_COLUMNS) if kinds is None else tuple(kinds)
        if not kinds or set(kinds) - set(_COLUMNS) or len(set(kinds)) < len(kinds):
            raise ValueError(f"kinds must be some of {list(_COLUMNS)}, each once; got {list(kinds)}.")
        if mass_axis.unit != _MASS.unit:
            raise ValueError(f"mass_axis must be in {_MASS.unit}; got {mass_axis.unit!r}.")
        self.kinds, self.mass_axis, self.seed = tuple(kind for kind in _COLUMNS if kind in kinds), mass_axis, seed
        # The class attribute is that of the defaults; an object has what it was asked for.
        own = {kind: self.axes[kind] if kind in _CURVES else _named(kind, mass_axis) for kind in self.kinds}
        self.axes = own  # type: ignore[misc]
        super().__init__(root, transform, pre_transform, pre_filter, force_reload, skip_broken)

    @property
    def processed_dir(self) -> str:
        """One folder for each choice of kinds, axis and seed."""
        axis = self.mass_axis
        grid = f"{axis.start:g}_{axis.stop:g}_{axis.step:g}" if set(self.kinds) & set(_PEAKS) else ""
        kinds = "all" if self.kinds == tuple(_COLUMNS) else "-".join(self.kinds)
        return str(Path(self.root) / "processed" / "_".join(filter(None, [kinds, grid, f"seed_{self.seed}"])))

    @property
    def raw_file_names(self) -> list[str]:
        """The shards that are there; the archive, if there are none."""
        raw = Path(self.raw_dir)
        found = (path for path in raw.rglob("*.parquet") if path.parent.name != _UNFINISHED)
        shards = sorted((str(path.relative_to(raw)) for path in found), key=_by_number)
        return shards or [_ARCHIVE]

    def download(self) -> None:
        """Fetch the published archive and take the shards out of it, all or none."""
        _import_pyarrow()  # rather now than after hours
        _unpack(download(_URL, Path(self.raw_dir) / _ARCHIVE), Path(self.raw_dir))

    def molecules(self) -> Iterator[Data]:
        """Molecules shard by shard, a few rows in memory at a time."""
        if self.raw_file_names == [_ARCHIVE]:  # put there by hand
            self.download()
        for path in map(Path, self.raw_paths):
            for row, record in enumerate(_rows(path, ["smiles", *(_COLUMNS[kind] for kind in self.kinds)])):
                try:
                    data = self._molecule(record)
                except BROKEN as error:
                    self.broken(path, f"{row} ({record['smiles']})", error)
                    continue
                yield data

    def _molecule(self, record: Mapping[str, Any]) -> Data:
        if record["smiles"] is None:
            raise ValueError("it has no SMILES.")
        spectra = {kind: _spectrum(kind, record[_COLUMNS[kind]], self.axes[kind]) for kind in self.kinds}
        data = from_smiles(record["smiles"], seed=self.seed)
        for kind, spectrum in spectra.items():
            data[kind] = spectrum
        return data


def bin_peaks(peaks: Sequence[Sequence[float]] | np.ndarray, axis: SpectrumAxis) -> Float32[Tensor, "1 length"]:
    """A list of peaks on an axis: each is added to the sample that is nearest to it.

    Args:
        peaks: Position and intensity of each peak, (K, 2).
        axis: The axis wanted.

    Returns:
        (1, L), whose sum is that of the intensities.

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
    return torch.zeros(axis.length, dtype=torch.float64).index_add(0, sample, intensity).float().reshape(1, -1)


def _spectrum(kind: str, values: Any, axis: SpectrumAxis) -> Tensor:
    if values is None or len(values) == 0:
        return torch.full((1, axis.length), torch.nan)
    if kind in _PEAKS:
        return bin_peaks(values, axis)
    spectrum = torch.tensor(values, dtype=torch.float32)
    if spectrum.shape != (axis.length,):
        raise ValueError(f"{_CURVES[kind]} must have {axis.length} values; got shape {tuple(spectrum.shape)}.")
    if not bool(spectrum.isfinite().all()):
        raise ValueError(f"{_CURVES[kind]} must be finite; value {int((~spectrum.isfinite()).nonzero()[0])} is not.")
    return (spectrum.flip(0) if kind in _DESCENDING else spectrum).reshape(1, -1)


def _rows(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a shard, a few in memory at a time."""
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
    """Sorts chunk_2 before chunk_10."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _unpack(archive: Path, folder: Path) -> None:
    """Take the shards out of a zip into a folder below, which appears when all are there."""
    part = folder / _UNFINISHED
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        with zipfile.ZipFile(archive) as members:
            names = [name for name in members.namelist() if name.endswith(".parquet") and "__MACOSX" not in name]
            for name in names:
                target = part / PurePosixPath(name).name  # nothing is written outside of the folder
                with members.open(name) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{archive} is damaged or truncated: {error}. Delete it, and it is fetched again.") from error
    if not names:
        raise ValueError(f"{archive} holds no .parquet. Delete it, and it is fetched again.")
    part.replace(folder / _UNPACKED)
