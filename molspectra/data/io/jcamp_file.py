"""Structure of a JCAMP-DX file: labelled records, and the data lines of its one curve."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from molspectra.data.io.text import read_lines

_CURVES = ("XYDATA", "XYPOINTS")
_PEAKS = ("PEAKTABLE", *_CURVES)
_NUMBERS_AND_UNITS = ("XUNITS", "YUNITS", "XFACTOR", "YFACTOR", "FIRSTX", "LASTX", "DELTAX", "NPOINTS")
_USUAL = {
    "XUNITS": ["1/CM", "NANOMETERS", "MICROMETERS", "EV", "PPM", "M/Z"],
    "YUNITS": ["ABSORBANCE", "TRANSMITTANCE", "% TRANSMITTANCE", "ARBITRARY UNITS", "COUNTS"],
}
_REFUSED = {
    "NTUPLES": "several variables (NTUPLES). Export each as a spectrum of its own",
    "PEAKTABLE": "a list of peaks (PEAK TABLE), no curve. Use molspectra.data.read_peak_list, molspectra.data.broaden",
    "PEAKASSIGNMENTS": "a list of assigned peaks, no curve. Export the spectrum itself",
    "RADATA": "an interferogram (RADATA). Export the spectrum itself",
}


@dataclass
class JCAMPFile:
    """Content of a JCAMP-DX file with one spectrum.

    Attributes:
        path: The file.
        labels: Label, without blanks, slashes, hyphens and underscores → its text.
        form: Arrangement of the points, such as "X++Y..Y".
        data: Number and text of each data line of the curve.
    """

    path: Path
    labels: dict[str, str] = field(default_factory=dict)
    form: str = ""
    data: list[tuple[int, str]] = field(default_factory=list)

    def number(self, label: str, default: float | None = None) -> float:
        """Return the number of a label.

        Raises:
            ValueError: the text is not a number, or the label is missing and has no default.
        """
        text = self.labels.get(label)
        if text is None and default is not None:
            return default
        try:
            return float(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            problem = "it is missing" if text is None else f"got {text!r}"
            if text is not None and re.fullmatch(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", text):
                problem += ", with a decimal comma"
            raise ValueError(
                f"{self.path} must have a number as ##{label}=; {problem}. Export the file anew."
            ) from None

    def unit(self, label: str, parse: Callable[[str], str | None]) -> str:
        """Return the text of a label that names a unit or a kind of intensities.

        Args:
            label: XUNITS or YUNITS.
            parse: Function that understands the text, and returns None if it does not.

        Raises:
            ValueError: the label is missing, or its text is not understood.
        """
        text = self.labels.get(label, "")
        if parse(text) in (None, "unconverted"):
            argument = {"XUNITS": "x_unit", "YUNITS": "y_unit"}[label]
            raise ValueError(
                f"{self.path} must say its unit as ##{label}=, one of {_USUAL[label]} or the like; got {text!r}. Pass "
                f"{argument}, in place of what the file says."
            )
        return text


def read_jcamp_file(path: Path, peaks: bool = False) -> JCAMPFile:
    """Read a file, and check that it is complete and holds one curve, or one list of peaks.

    Args:
        path: The file.
        peaks: Read a list of peaks.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is truncated, or holds no curve or several.
    """
    file, reading, ended = JCAMPFile(path), False, False
    wanted = _PEAKS if peaks else _CURVES
    for number, label, text in _records(path):
        if label is None:
            if reading:
                file.data.append((number, text))
            continue
        reading = label in wanted
        if label in _REFUSED and not reading:
            raise ValueError(f"{path}, line {number}: expected one curve; got {_REFUSED[label]}.")
        if reading and file.form or (label == "TITLE" and ended):
            raise ValueError(f"{path}, line {number}: expected one spectrum; got another. Split the file.")
        if label == "DATATYPE" and text.upper() == "LINK":
            raise ValueError(f"{path}, line {number}: expected one spectrum; got a LINK of several. Split the file.")
        if reading:
            # Some programs forget a parenthesis, and some write the number of a page behind it.
            file.form = re.sub(r"[\s(]|\)\s*\d*$|\)", "", text).upper()
        if label in _NUMBERS_AND_UNITS and file.labels.get(label, text) != text:
            raise ValueError(
                f"{path}, line {number}: expected ##{label}= once; got {text!r} after "
                f"{file.labels[label]!r}. Remove one."
            )
        ended |= label == "END"
        file.labels.setdefault(label, text)
    if not file.form:
        raise ValueError(f"{path} must be a JCAMP-DX file with {' or '.join(wanted)}; found {list(file.labels)}.")
    if not ended:
        raise ValueError(f"{path} must end with ##END=; it does not. It is truncated: fetch it again.")
    return file


def _records(path: Path) -> Iterator[tuple[int, str | None, str]]:
    """Yield line number, label (None for lines that continue a record) and text, without comments."""
    for number, line in enumerate(read_lines(path), start=1):
        text = line.split("$$")[0].strip()
        if text.startswith("##"):
            label, separator, text = text.removeprefix("##").partition("=")
            if not separator:
                raise ValueError(f"{path}, line {number}: a label must end with =; got {line.strip()!r}.")
            yield number, re.sub(r"[\s/_-]", "", label).upper(), text.strip()
        elif text:
            yield number, None, text
