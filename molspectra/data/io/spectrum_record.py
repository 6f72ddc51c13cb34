"""Records of many mass spectra in one text file: MSP, MGF and MassBank, split and not yet checked."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from molspectra.data.io.peak_records import massbank_columns

FORMATS = ("msp", "mgf", "massbank")
"""Formats of text that are told apart."""

_MSP_PEAKS = re.compile(r"num ?peaks$")
# Of MassBank: the tags, and the one word by which most of their lines begin.
_MASSBANK_LINE = re.compile(r"([A-Z]{2}\$)?([A-Z_]+): ?(.*)")
_SUBTAGGED = ("AC$MASS_SPECTROMETRY", "AC$CHROMATOGRAPHY", "MS$FOCUSED_ION", "MS$DATA_PROCESSING", "CH$LINK")


@dataclass
class SpectrumRecord:
    """One spectrum of a file, as text.

    Attributes:
        file: The file.
        number: Number of the record, from 1.
        line: Number of its first line, from 1.
        fields: Name, in small letters and without blanks, underscores, hyphens and slashes → text.
        peaks: Number and text of each line of peaks.
        stated_peaks: Number of peaks that the record itself states, or None.
        columns: Number of columns that the record states above its peaks, if any.
        problem: Fault that was found while the file was split, or None.
    """

    file: Path
    number: int
    line: int
    fields: dict[str, str] = field(default_factory=dict)
    peaks: list[tuple[int, str]] = field(default_factory=list)
    stated_peaks: str | None = None
    columns: set[int] = field(default_factory=set)
    problem: str | None = None

    @property
    def place(self) -> str:
        """Number and first line, for messages."""
        return f"{self.number}, line {self.line}"

    def add(self, name: str, text: str) -> None:
        """Add a field. The first one of a name counts, as files repeat comments and synonyms."""
        self.fields.setdefault(plain_name(name), text.strip())


def plain_name(name: str) -> str:
    """Return the name of a field in small letters, without blanks, underscores, hyphens, slashes and #."""
    return re.sub(r"[\s_/#-]+", "", name).lower()


def text_format(path: Path, head: list[str]) -> str | None:
    """Tell the format of a file from its ending or, failing that, from its first lines, or return None."""
    name = path.name.lower().removesuffix(".gz")
    for ending in ("msp", "mgf"):
        if name.endswith(f".{ending}"):
            return ending
    lines = [line.strip() for line in head if line.strip()]
    if any(line.startswith("ACCESSION:") for line in lines[:1]):
        return "massbank"
    if any(line.upper() == "BEGIN IONS" for line in lines):
        return "mgf"
    if any(_MSP_PEAKS.fullmatch(line.partition(":")[0].strip().lower()) for line in lines):
        return "msp"
    return None


def split_records(form: str, file: Path, lines: Iterable[str]) -> Iterator[SpectrumRecord]:
    """Split the lines of a file into records, holding one at a time.

    Args:
        form: One of `FORMATS`.
        file: The file, for messages.
        lines: Its lines, without their ends.

    Yields:
        Records in the order of the file. One that is cut short has a problem.
    """
    split = {"msp": _split_msp, "mgf": _split_mgf, "massbank": _split_massbank}[form]
    for number, record in enumerate(split(file, enumerate(lines, 1)), 1):
        record.number = number
        yield record


def _split_msp(file: Path, lines: Iterator[tuple[int, str]]) -> Iterator[SpectrumRecord]:
    record: SpectrumRecord | None = None
    for number, line in lines:
        name, colon, text = line.partition(":")
        begins = colon and name.strip().lower() == "name"
        if record is not None and (begins or (not line.strip() and record.stated_peaks is not None)):
            yield record
            record = None
        if not line.strip() or line.startswith("#"):
            continue
        if record is None:
            record = SpectrumRecord(file, 0, number)
            if not colon:
                record.problem = f"line {number} must be a field, such as Name: ethanol; got {line.strip()!r}."
        if record.stated_peaks is not None:
            record.peaks.append((number, line))
        elif _MSP_PEAKS.fullmatch(name.strip().lower()):
            record.stated_peaks = text.strip()
        elif colon:
            record.add(name, text)
            if plain_name(name) in ("comment", "comments"):
                _add_comments(record, text)
        elif record.problem is None:
            record.problem = f"line {number} must be a field, before Num Peaks; got {line.strip()!r}."
    if record is not None:
        yield record


def _add_comments(record: SpectrumRecord, text: str) -> None:
    """Add the fields that MoNA and NIST write into a comment: "SMILES=CCO" "collision energy=20 eV"."""
    for name, value in re.findall(r'"([^"=]+)=([^"]*)"', text):
        if plain_name(name) not in ("name", "comment"):
            record.add(name, value)


def _split_mgf(file: Path, lines: Iterator[tuple[int, str]]) -> Iterator[SpectrumRecord]:
    shared: dict[str, str] = {}  # of all spectra, stated above the first one
    record: SpectrumRecord | None = None
    for number, line in lines:
        plain = line.strip()
        if plain.upper() == "BEGIN IONS":
            if record is not None:
                record.problem = f"it must end with END IONS; line {number} begins another one."
                yield record
            record = SpectrumRecord(file, 0, number, dict(shared))
        elif plain.upper() == "END IONS":
            if record is not None:
                yield record
            record = None
        elif plain and not plain.startswith(("#", ";", "!", "/")):
            name, equals, text = plain.partition("=")
            is_field = equals and re.fullmatch(r"[A-Za-z_][\w ]*(?:\[\d+\])?", name)
            if record is None:
                if is_field:
                    shared[plain_name(name)] = text.strip()
                else:
                    yield SpectrumRecord(file, 0, number, problem=f"a line between spectra must be a field: {plain!r}.")
            elif is_field and not record.peaks:
                if plain_name(name) in shared:
                    record.fields.pop(plain_name(name), None)
                record.add(name, text)
            else:
                record.peaks.append((number, line))
    if record is not None:
        record.problem = "the file ends within it: it has no END IONS."
        yield record


def _split_massbank(file: Path, lines: Iterator[tuple[int, str]]) -> Iterator[SpectrumRecord]:
    record: SpectrumRecord | None = None
    section = ""
    for number, line in lines:
        if line.startswith("//"):
            if record is not None:
                yield record
            record = None
            continue
        if record is None:
            if not line.strip():
                continue
            record = SpectrumRecord(file, 0, number)
            section = ""
            if not line.startswith("ACCESSION:"):
                record.problem = f"it must begin with ACCESSION; line {number} is {line.strip()!r}."
        if line.startswith(" "):
            if section == "PK$PEAK":
                record.peaks.append((number, line))
            continue
        match = _MASSBANK_LINE.fullmatch(line.rstrip())
        if match is None:
            if line.strip() and record.problem is None:
                record.problem = f"line {number} must be a field, such as CH$SMILES: CCO; got {line.strip()!r}."
            continue
        section, text = (match[1] or "") + match[2], match[3]
        if section == "PK$NUM_PEAK":
            record.stated_peaks = text.strip()
        elif section in _SUBTAGGED:
            name, _, value = text.partition(" ")
            record.add(name, value)
        elif section == "PK$PEAK":
            record.columns = massbank_columns(line)
        else:
            record.add(match[2], text)
    if record is not None:
        record.problem = "the file ends within it: it has no //."
        yield record
