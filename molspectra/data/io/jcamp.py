"""Spectra from JCAMP-DX files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Float32
from torch import Tensor

from molspectra.data.io.jcamp_ordinates import Ordinates, is_affn, parse_line
from molspectra.data.io.measured import MeasuredSpectrum, read_lines
from molspectra.spectra.axis import SpectrumAxis

_X_UNITS = {
    "1/CM": "cm^-1",
    "CM-1": "cm^-1",
    "CM^-1": "cm^-1",
    "NANOMETERS": "nm",
    "NANOMETRES": "nm",
    "NM": "nm",
    "MICROMETERS": "um",
    "MICROMETRES": "um",
    "UM": "um",
    "EV": "eV",
    "PPM": "ppm",
    "M/Z": "m/z",
}
_Y_UNITS = {
    "ABSORBANCE": "absorbance",
    "TRANSMITTANCE": "transmittance",
    "%TRANSMITTANCE": "percent_transmittance",
    "PERCENTTRANSMITTANCE": "percent_transmittance",
    "TRANSMITTANCE(%)": "percent_transmittance",
    **dict.fromkeys(("ARBITRARYUNITS", "INTENSITY", "RAMANINTENSITY", "COUNTS", "RELATIVEABUNDANCE"), "intensity"),
}
_CURVES = ("XYDATA", "XYPOINTS")
_REFUSED = {
    "NTUPLES": "several variables (NTUPLES). Export each as a spectrum of its own",
    "PEAKTABLE": "a list of peaks (PEAK TABLE), no curve. Turn lines into a spectrum with molspectra.data.broaden",
    "PEAKASSIGNMENTS": "a list of assigned peaks, no curve. Export the spectrum itself",
    "RADATA": "an interferogram (RADATA). Export the spectrum itself",
}


@dataclass
class _Block:
    """What a file holds: labelled records, and the data lines of the curve with their numbers."""

    labels: dict[str, str] = field(default_factory=dict)
    form: str = ""
    data: list[tuple[int, str]] = field(default_factory=list)
    ended: bool = False


def read_jcamp(
    path: str | Path,
    axis: SpectrumAxis,
    *,
    x_unit: str | None = None,
    y_unit: str | None = None,
    min_transmittance: float | None = None,
    outside: str = "zero",
    conserve_area: bool = False,
) -> Float32[Tensor, "1 length"]:
    """A spectrum from a JCAMP-DX file, brought onto an axis: the field of a molecule.

    Reads XYDATA=(X++(Y..Y)), in all its forms (AFFN, PAC, SQZ, DIF, DUP), and XYDATA or XYPOINTS=(XY..XY), after R. S.
    McDonald and P. A. Wilks, Appl. Spectrosc. 42, 151 (1988). What the format offers to find damage by is used: the
    number of points, the position that each line begins with, the value that differences must arrive at by the next
    line, and ##END=. (FIRSTY, MAXY and the like are not, as programs often write them wrong.)

    Args:
        path: A file with one spectrum.
        axis: The axis wanted.
        x_unit: Unit of the positions, in place of the file's XUNITS: "cm^-1", "nm", "um" or "eV", which are converted
            into one another, or whatever the unit of the axis is.
        y_unit: "absorbance", "transmittance" (turned into absorbance, -log10 T), "percent_transmittance" (likewise) or
            "intensity", in place of the file's YUNITS. Many files call percents TRANSMITTANCE: they are refused with
            the advice to pass "percent_transmittance".
        min_transmittance: Transmittances below are raised to this one (a fraction), rather than refused when they are
            0 or less.
        outside: What to put beyond the measured range: "zero", "nan" or "raise"; see :func:`molspectra.data.resample`.
        conserve_area: Average over the bins of the axis rather than interpolate; see there, too.

    Returns:
        Absorbance or intensity on the axis, (1, L) float32.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or truncated, holds no curve or several, or its units are unknown; the message names
            the file, the line and the remedy.

    Example:
        >>> file = tmp_path / "squeezed.jdx"
        >>> _ = file.write_text('''##TITLE=three points, the last two by their differences
        ... ##JCAMP-DX=4.24
        ... ##XUNITS=1/CM
        ... ##YUNITS=ABSORBANCE
        ... ##FIRSTX=1000
        ... ##LASTX=1002
        ... ##NPOINTS=3
        ... ##XFACTOR=1
        ... ##YFACTOR=0.01
        ... ##XYDATA=(X++(Y..Y))
        ... 1000A0J0k0
        ... 1002@
        ... ##END=
        ... ''')
        >>> read_jcamp(file, ms.data.SpectrumAxis("ir", 1000, 1003, 1, "cm^-1"))
        tensor([[0.1000, 0.2000, 0.0000, 0.0000]])
    """
    path = Path(path)
    block = _read_block(path)
    if block.form == "X++Y..Y":
        spectrum = _equidistant(path, block)
    elif block.form == "XY..XY":
        spectrum = _pairs(path, block)
    else:
        raise ValueError(f"{path} must hold its curve as (X++(Y..Y)) or (XY..XY); got {block.form!r}. Export it anew.")
    found = len(spectrum.positions)
    if "NPOINTS" in block.labels and found != _value(path, block, "NPOINTS"):
        raise ValueError(
            f"{path} must hold {block.labels['NPOINTS']} points, as its NPOINTS says; found {found}. It is damaged or "
            "truncated: fetch it again."
        )
    x_unit = x_unit or _unit(path, block, "XUNITS", _X_UNITS, "x_unit")
    y_unit = y_unit or _unit(path, block, "YUNITS", _Y_UNITS, "y_unit")
    return spectrum.on_axis(axis, x_unit, y_unit, min_transmittance, outside, conserve_area)


def _records(path: Path) -> Iterator[tuple[int, str | None, str]]:
    """Line number, label (None for the lines that continue a record) and text, comments taken out."""
    for number, line in enumerate(read_lines(path), start=1):
        text = line.split("$$")[0].strip()
        if text.startswith("##"):
            label, separator, text = text.removeprefix("##").partition("=")
            if not separator:
                raise ValueError(f"{path}, line {number}: a label must end with =; got {line.strip()!r}.")
            yield number, re.sub(r"[\s/_-]", "", label).upper(), text.strip()
        elif text:
            yield number, None, text


def _read_block(path: Path) -> _Block:
    block, reading = _Block(), False
    for number, label, text in _records(path):
        if label is None:
            if reading:
                block.data.append((number, text))
            continue
        reading = label in _CURVES
        if label in _REFUSED:
            raise ValueError(f"{path}, line {number}: expected one curve; got {_REFUSED[label]}.")
        if reading and block.form or (label == "TITLE" and block.ended):
            raise ValueError(f"{path}, line {number}: expected one spectrum; got another. Split the file.")
        if label == "DATATYPE" and text.upper() == "LINK":
            raise ValueError(f"{path}, line {number}: expected one spectrum; got a LINK of several. Split the file.")
        if reading:
            block.form = re.sub(r"[\s()]", "", text).upper()  # some programs forget a parenthesis
        block.ended |= label == "END"
        block.labels.setdefault(label, text)
    if not block.form:
        raise ValueError(f"{path} must be a JCAMP-DX file with XYDATA or XYPOINTS; found {list(block.labels)}.")
    if not block.ended:
        raise ValueError(f"{path} must end with ##END=; it does not. It is truncated: fetch it again.")
    return block


def _value(path: Path, block: _Block, label: str, default: float | None = None) -> float:
    text = block.labels.get(label)
    if text is None and default is not None:
        return default
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        problem = "it is missing" if text is None else f"got {text!r}"
        raise ValueError(f"{path} must have a number as ##{label}=; {problem}. Export the file anew.") from None


def _unit(path: Path, block: _Block, label: str, known: dict[str, str], argument: str) -> str:
    text = block.labels.get(label, "")
    unit = known.get(re.sub(r"\s", "", text).upper())
    if unit is None:
        raise ValueError(
            f"{path} must say its unit as ##{label}=, one of {sorted(known)}; got {text!r}. Pass {argument}, in "
            "place of what the file says."
        )
    return unit


def _equidistant(path: Path, block: _Block) -> MeasuredSpectrum:
    """The points of (X++(Y..Y)): FIRSTX, FIRSTX + DELTAX, …; what lines begin with is a check alone."""
    first, y_factor = _value(path, block, "FIRSTX"), _value(path, block, "YFACTOR", 1.0)
    step = _step(path, block, first)
    spectrum = MeasuredSpectrum(path, [], [], [])
    previous = Ordinates("", [], False)
    for number, text in block.data:
        try:
            line = parse_line(text)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        count = len(spectrum.values)
        # After differences, a line begins with the last value once more.
        repeated = previous.ends_in_difference
        _check_position(path, number, line.position, block, first + step * (count - repeated), abs(step))
        if repeated and line.values[0] != previous.values[-1]:
            raise ValueError(
                f"{path}, line {number}: the differences in the line above must arrive at {line.values[0]:g}, where "
                f"this line begins; they arrive at {previous.values[-1]:g}. One is damaged: fetch the file again."
            )
        values = line.values[repeated:]
        spectrum.values += [value * y_factor for value in values]
        spectrum.positions += [first + step * (count + i) for i in range(len(values))]
        spectrum.lines += [number] * len(values)
        previous = line
    return spectrum


def _step(path: Path, block: _Block, first: float) -> float:
    if {"LASTX", "NPOINTS"} <= block.labels.keys() and _value(path, block, "NPOINTS") > 1:
        # More digits than most programs write of DELTAX.
        step = (_value(path, block, "LASTX") - first) / (_value(path, block, "NPOINTS") - 1)
    else:
        step = _value(path, block, "DELTAX")
    if step == 0:
        raise ValueError(f"{path} must have its points at different positions; got a step of 0. Export the file anew.")
    return step


def _check_position(path: Path, number: int, text: str, block: _Block, expected: float, step: float) -> None:
    """Refuse a line that does not begin where it should: by more than half a step, and than it was rounded by."""
    factor = _value(path, block, "XFACTOR", 1.0)
    mantissa, _, exponent = text.upper().partition("E")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    if abs(float(text) * factor - expected) > 0.5 * step + abs(factor) * 10.0**-decimals:
        raise ValueError(
            f"{path}, line {number}: the line must begin at {expected:g}, by the points in the lines above; it says "
            f"{float(text) * factor:g}. Points are missing or damaged: fetch the file again."
        )


def _pairs(path: Path, block: _Block) -> MeasuredSpectrum:
    """The points of (XY..XY)."""
    x_factor, y_factor = _value(path, block, "XFACTOR", 1.0), _value(path, block, "YFACTOR", 1.0)
    spectrum = MeasuredSpectrum(path, [], [], [])
    for number, text in block.data:
        cells = [cell for cell in re.split(r"[,;\s]+", text) if cell]
        if len(cells) % 2 or not is_affn(cells):
            raise ValueError(
                f"{path}, line {number}: expected pairs of numbers, x and y; got {text!r}. Repair the line."
            )
        numbers = [float(cell) for cell in cells]
        spectrum.positions += [x * x_factor for x in numbers[::2]]
        spectrum.values += [y * y_factor for y in numbers[1::2]]
        spectrum.lines += [number] * (len(numbers) // 2)
    return spectrum
