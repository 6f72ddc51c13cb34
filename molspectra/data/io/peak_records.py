"""Records of mass spectra in the text formats MSP, MGF and MassBank."""

import math
import re
from pathlib import Path

from molspectra.data.io.jcamp_ordinates import has_decimal_commas, is_affn
from molspectra.data.io.measured_spectrum import MeasuredSpectrum

_BEGIN = re.compile(r"\s*(?:num ?peaks\s*[:=]\s*(\d+)|PK\$PEAK\b|BEGIN IONS)", re.IGNORECASE)
_END = re.compile(r"\s*(?:END IONS|//)", re.IGNORECASE)
_COUNT = re.compile(r"PK\$NUM_PEAK\s*:\s*(\d+)")
_FIELD = re.compile(r"\s*[A-Za-z_]+\w*\s*=")  # of MGF, between BEGIN IONS and the peaks
_MIXED = re.compile(r"\s*[\d.eE+-]+,[\d.eE+-]+\s+[\d.]")


def read_peak_record(path: Path, lines: list[str]) -> MeasuredSpectrum | None:
    """Read the peaks of a record, or return None for a file in another format.

    Raises:
        ValueError: a peak cannot be read, peaks are missing, or there are several records.
    """
    begins = [index for index, line in enumerate(lines) if _BEGIN.match(line)]
    if not begins:
        return None
    if len(begins) > 1:
        raise ValueError(
            f"{path}, line {begins[1] + 1}: expected one spectrum; got another. Read all of them with "
            "molspectra.data.read_spectra, or split the file."
        )
    counts = [match[1] for line in lines if (match := _BEGIN.match(line) or _COUNT.match(line)) and match.lastindex]
    spectrum, columns = MeasuredSpectrum(path, [], [], []), massbank_columns(lines[begins[0]])
    for number, line in enumerate(lines[begins[0] + 1 :], start=begins[0] + 2):
        if _END.match(line) or (spectrum.lines and not line.strip()):
            _refuse_rest(path, lines, number)
            break
        if line.strip() and not (_FIELD.match(line) and not spectrum.lines):
            add_peaks(spectrum, number, line, columns)
    if counts and int(counts[0]) != len(spectrum.lines):
        raise ValueError(
            f"{path} must hold {counts[0]} peaks, as it says itself; found {len(spectrum.lines)}. It is damaged or "
            "truncated: fetch it again."
        )
    return spectrum


def massbank_columns(header: str) -> set[int]:
    """Return the number of columns that a MassBank record states above its peaks, and nothing for other formats."""
    tag, _, names = header.partition(":")
    return {len(names.split())} if tag.strip() == "PK$PEAK" and names.strip() else set()


def add_peaks(spectrum: MeasuredSpectrum, number: int, line: str, columns: set[int]) -> None:
    """Add the peaks of a line: position, intensity and perhaps an annotation, and the next peak after a semicolon.

    Args:
        spectrum: Points so far.
        number: Number of the line.
        line: Its text.
        columns: Set of how many numbers the peaks have, which is kept, as each must have as many.

    Raises:
        ValueError: a peak cannot be read. The message names the line.
    """
    for peak in filter(str.strip, re.sub(r'"[^"]*"', '""', line).split(";")):
        if has_decimal_commas(peak):
            raise ValueError(
                f"{spectrum.path}, line {number}: numbers must have decimal points; got decimal commas in "
                f'{line.strip()!r}. Replace them: text.replace(",", ".").'
            )
        if _MIXED.match(peak):
            raise ValueError(
                f"{spectrum.path}, line {number}: numbers must be separated by commas or by blanks; got both in "
                f"{line.strip()!r}. Repair the line."
            )
        try:
            cells = re.split(r"[\s,:]+", peak.strip())
            position, intensity = (float(cell.replace("_", "?")) for cell in cells[:2])
            if not (math.isfinite(position) and math.isfinite(intensity)):
                raise ValueError("position and intensity must be finite")
            columns.add(sum(is_affn([cell]) for cell in cells))
            if len(columns) > 1:
                raise ValueError("a number is broken, missing or added")
        except ValueError:
            raise ValueError(
                f"{spectrum.path}, line {number}: expected a position and an intensity; got {peak.strip()!r} in "
                f"{line.strip()!r}. Repair the line."
            ) from None
        spectrum.positions.append(position)
        spectrum.values.append(intensity)
        spectrum.lines.append(number)


def _refuse_rest(path: Path, lines: list[str], end: int) -> None:
    """Refuse peaks below the end of a record."""
    for number, line in enumerate(lines[end:], start=end + 1):
        if re.match(r"\s*[+-]?[\d.]", line):
            raise ValueError(
                f"{path}, line {number}: expected nothing after the end of the peaks in line {end}; got "
                f"{line.strip()!r}. Close the gap, or split the file."
            )
