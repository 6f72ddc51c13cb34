"""Molecules with mass spectra out of files of many spectra."""

import io
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import checked
from molspectra.data.chemistry.shared_conformer import SharedConformer
from molspectra.data.io.archives import open_binary, refuse_damage
from molspectra.data.io.measured_spectrum import MeasuredSpectrum
from molspectra.data.io.mzml import read_mzml
from molspectra.data.io.peak_records import add_peaks
from molspectra.data.io.spectrum_fields import add_fields, peaks_field, record_fields
from molspectra.data.io.spectrum_record import SpectrumRecord, split_records, text_format

_HEAD = 400  # lines in which the format of a file shows


class SkippedSpectrum(NamedTuple):
    """Spectrum of a file that was left out."""

    file: str
    """Name of the file."""
    record: str
    """Its number in the file, and its first line or its id."""
    reason: str
    """Fault of the record."""


class SpectrumReader(Iterator[Data]):
    """Iterator over the spectra of a file, which notes those that it leaves out.

    Made by :func:`molspectra.data.read_spectra`. When the file ends, a warning tells how many spectra were left out.

    Attributes:
        path: The file.
        num_read: Number of molecules so far.
    """

    def __init__(self, path: Path, molecules: "Iterator[Data | SkippedSpectrum]") -> None:
        self.path = path
        self.num_read = 0
        self._skipped: list[SkippedSpectrum] = []
        self._molecules = molecules

    @property
    def skipped(self) -> tuple[SkippedSpectrum, ...]:
        """Spectra that were left out so far, each with its reason."""
        return tuple(self._skipped)

    def __next__(self) -> Data:
        for molecule in self._molecules:
            if isinstance(molecule, Data):
                self.num_read += 1
                return molecule
            self._skipped.append(molecule)
        self._warn()
        raise StopIteration

    def _warn(self) -> None:
        if self._skipped and self._molecules is not _WARNED:
            first = self._skipped[0]
            warnings.warn(
                f"{self.path}: left out {len(self._skipped)} of {self.num_read + len(self._skipped)} spectra, listed "
                f"in `skipped`; the first is record {first.record}: {first.reason}",
                stacklevel=3,
            )
        self._molecules = _WARNED

    def __repr__(self) -> str:
        return f"SpectrumReader({str(self.path)!r}): {self.num_read} read, {len(self._skipped)} left out"


_WARNED: "Iterator[Data | SkippedSpectrum]" = iter(())


@checked
def read_spectra(
    path: str | Path,
    *,
    field: str = "msms",
    conformers: bool = False,
    seed: int = 0,
    ms_level: int | None = None,
    skip_broken: bool = True,
) -> SpectrumReader:
    r"""Read mass spectra from a file of many, each as a molecule with a list of peaks.

    Formats are MGF, MSP (of NIST, MoNA, MassBank, …), MassBank records and mzML (extra `ms`), each plain or compressed
    by gzip. Records are read one at a time. A record is left out if a peak cannot be read, if peaks are missing by the
    number that it states, if m/z or intensities are impossible, or if it is cut short. The iterator lists it in
    `skipped` with the reason, and a warning at the end counts them.

    Fields of each molecule, the same for all:

    - `msms`: peaks as the file has them, (1, K, 2), m/z and intensity. :class:`Collate` pads them in a batch.
    - `precursor_mz`, `precursor_charge` (e), `collision_energy` (eV), `normalized_collision_energy` (percent): (1,)
      float64, NaN where the record does not state them, or not by one number with a known unit. A number alone is in
      eV.
    - `name`, `identifier`, `smiles`, `inchikey`, `formula`, `adduct`, `ion_mode`, `instrument`,
      `collision_energy_text`: text as the file has it, empty where it states none.

    Args:
        path: The file.
        field: Name of the field with the peaks.
        conformers: Make a conformer of each SMILES with :func:`molspectra.data.from_smiles`, which adds `z`, `pos` and
            bonds. Records without a SMILES, and those of which none can be made, are left out. Consecutive records of
            one SMILES share the work.
        seed: Seed of the conformers.
        ms_level: Level of the spectra wanted, in mzML: 1 for those of all ions, 2 for fragments. None for all.
        skip_broken: Leave out broken records. Otherwise the first one raises an error.

    Returns:
        Iterator of `Data`, with `skipped` and `num_read`.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: pymzML or RDKit is needed and not installed.
        ValueError: the file is in no known format, its compression or its XML is damaged, or, with `skip_broken=False`,
            a record is broken.

    Example:
        >>> _ = (tmp_path / "two.mgf").write_text('''BEGIN IONS
        ... TITLE=ethanol
        ... SMILES=CCO
        ... PEPMASS=47.049
        ... 29.04 30
        ... 31.02 100
        ... END IONS
        ... BEGIN IONS
        ... 15.02 x
        ... END IONS
        ... ''')
        >>> spectra = read_spectra(tmp_path / "two.mgf")
        >>> next(spectra).msms
        tensor([[[ 29.0400,  30.0000],
                 [ 31.0200, 100.0000]]])
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if not field.isidentifier():
        raise ValueError(f"field must be a name of letters, digits and underscores; got {field!r}.")
    make = _Maker(path, field, seed if conformers else None, skip_broken)
    return SpectrumReader(path, _molecules(path, make, ms_level))


def _molecules(path: Path, make: "_Maker", ms_level: int | None) -> "Iterator[Data | SkippedSpectrum]":
    if path.name.lower().removesuffix(".gz").endswith(".mzml"):
        for spectrum in read_mzml(path):
            if ms_level in (None, spectrum.level):
                fields = {"identifier": spectrum.name, **spectrum.stated}
                yield make(spectrum.name, fields, spectrum.positions, spectrum.intensities, spectrum.problem)
        return
    if ms_level is not None:
        raise ValueError(f"ms_level is for mzML, whose spectra state it; {path} is text. Leave it out.")
    lines = _lines(path)
    head = list(itertools.islice(lines, _HEAD))
    form = text_format(path, head)
    if form is None:
        raise ValueError(
            f"{path} must be MGF, MSP, MassBank or mzML; it has neither BEGIN IONS, nor Num Peaks, nor ACCESSION. Read "
            "one list of peaks with molspectra.data.read_peak_list, and a curve with read_jcamp or "
            "read_spectrum_table."
        )
    for record in split_records(form, path, itertools.chain(head, lines)):
        positions, intensities, problem = _peaks(record)
        yield make(record.place, record.fields, positions, intensities, problem)


def _lines(path: Path) -> Iterator[str]:
    """Read lines of text. Letters in an encoding other than UTF-8 are lost, and nothing else."""
    with refuse_damage(path), io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", errors="replace") as stream:
        for line in stream:
            if "\0" in line:
                raise ValueError(f"{path} must be a text file; it has zero bytes. Save it as plain text.")
            yield line.rstrip("\r\n")


def _peaks(record: SpectrumRecord) -> tuple[list[float], list[float], str | None]:
    """Parse the peaks of a record: m/z, intensities and the fault, if there is one."""
    if record.problem is not None:
        return [], [], record.problem
    points, columns = MeasuredSpectrum(record.file, [], [], []), set(record.columns)
    try:
        for number, line in record.peaks:
            add_peaks(points, number, line, columns)
    except ValueError as error:
        return [], [], str(error).removeprefix(f"{record.file}, ")
    stated, found = record.stated_peaks, len(points.positions)
    if stated is not None and stated != str(found):
        return [], [], f"it must have {stated} peaks, as it says itself; found {found}."
    return points.positions, points.values, None


class _Maker:
    """Maker of molecules from records, or of the notes that they are left out."""

    def __init__(self, path: Path, field: str, seed: int | None, skip_broken: bool) -> None:
        self.path, self.field, self.skip_broken = path, field, skip_broken
        self.conformer = None if seed is None else SharedConformer(seed)

    def __call__(
        self, place: str, stated: dict[str, str], positions: list[float], intensities: list[float], problem: str | None
    ) -> Data | SkippedSpectrum:
        try:
            if problem is not None:
                raise ValueError(problem)
            fields = record_fields(stated)
            peaks = peaks_field(positions, intensities)
            data = self._molecule(fields)
        except ValueError as error:
            if self.skip_broken:
                return SkippedSpectrum(self.path.name, place, str(error))
            raise ValueError(
                f"{self.path}, record {place}: {error} Repair the file, or pass skip_broken=True to leave such records "
                "out."
            ) from error
        data[self.field] = peaks
        return add_fields(data, fields)

    def _molecule(self, fields: "dict[str, str | Tensor]") -> Data:
        if self.conformer is None:
            return Data()
        smiles = str(fields["smiles"])
        if not smiles:
            raise ValueError("it has no SMILES to make a conformer of.")
        return self.conformer(smiles)
