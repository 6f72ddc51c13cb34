"""Points of JCAMP-DX's (X++(Y..Y)), whose lines begin with a position that proves that no point is missing."""

import re
import warnings
from typing import NamedTuple

from molspectra.data.io.jcamp_file import JCAMPFile
from molspectra.data.io.jcamp_ordinates import Ordinates, parse_line
from molspectra.data.io.measured_spectrum import MeasuredSpectrum


class _Line(NamedTuple):
    """Number of a line in the file, its content, the index of its first point, and 1 if that repeats the last one."""

    number: int
    ordinates: Ordinates
    start: int
    repeats: int


def read_equidistant(file: JCAMPFile) -> MeasuredSpectrum:
    """Read the points at FIRSTX, FIRSTX + DELTAX, …, and check the positions and values that lines begin with.

    Raises:
        ValueError: a line is damaged, or points are missing.
    """
    first, y_factor, step = file.number("FIRSTX"), file.number("YFACTOR", 1.0), _step(file)
    if y_factor == 0:
        raise ValueError(f"{file.path} must have a YFACTOR that is not 0; got {file.labels['YFACTOR']!r}.")
    lines = _parse(file)
    _check_positions(file, lines, first, step)
    spectrum = MeasuredSpectrum(file.path, [], [], [])
    last = 0.0
    for number, ordinates, start, repeats in lines:
        if repeats and ordinates.values[0] != last:
            raise ValueError(
                f"{file.path}, line {number}: the differences in the line above must arrive at "
                f"{ordinates.values[0]:g}, where this line begins; they arrive at {last:g}. One is damaged: fetch the "
                "file again."
            )
        values, last = ordinates.values[repeats:], ordinates.values[-1]
        spectrum.values += [value * y_factor for value in values]
        spectrum.positions += [first + step * (start + repeats + i) for i in range(len(values))]
        spectrum.lines += [number] * len(values)
    return spectrum


def _parse(file: JCAMPFile) -> list[_Line]:
    lines: list[_Line] = []
    count, repeats = 0, 0
    for number, text in file.data:
        try:
            ordinates = parse_line(text)
        except ValueError as error:
            raise ValueError(f"{file.path}, line {number}: {error}") from None
        lines.append(_Line(number, ordinates, count - repeats, repeats))
        count += len(ordinates.values) - repeats
        # A line after differences repeats the last value as a check of their sum.
        repeats = int(ordinates.ends_in_difference)
    return lines


def _step(file: JCAMPFile) -> float:
    if {"LASTX", "NPOINTS"} <= file.labels.keys() and file.number("NPOINTS") > 1:
        # Most programs write DELTAX with fewer digits than this quotient has.
        step = (file.number("LASTX") - file.number("FIRSTX")) / (file.number("NPOINTS") - 1)
    else:
        step = file.number("DELTAX")
    if step == 0:
        raise ValueError(
            f"{file.path} must have its points at different positions; got a step of 0. Export the file anew."
        )
    return step


def _check_positions(file: JCAMPFile, lines: list[_Line], first: float, step: float) -> None:
    """Refuse lines that do not begin where the points above them end."""
    factor = file.number("XFACTOR", 1.0)
    # Steps between the position of each line and the one that follows from FIRSTX, and the most that rounding explains.
    offsets = [(float(line.ordinates.position) * factor - first) / abs(step) for line in lines]
    offsets = [offset - line.start * (1 if step > 0 else -1) for offset, line in zip(offsets, lines, strict=True)]
    allowed = [0.5 + abs(factor / step) * _last_digit(line.ordinates.position) for line in lines]
    if all(abs(offset) <= most for offset, most in zip(offsets, allowed, strict=True)):
        return
    shift = 0.0
    if _is_complete(file, lines):
        if _count_points(lines, step * factor):
            return
        # Some programs give the lines after the first the position of the point before or after their own first.
        constant = offsets[min(1, len(offsets) - 1)]
        shift = constant if abs(constant) <= 1 + allowed[min(1, len(offsets) - 1)] else 0.0
    for line, offset, most in zip(lines, offsets, allowed, strict=True):
        as_first = line.start == 0 and abs(offset) <= most
        if not (abs(offset - shift) <= most or as_first):
            raise ValueError(
                f"{file.path}, line {line.number}: the line must begin at {first + step * line.start:g}, by the points "
                f"in the lines above; it says {float(line.ordinates.position) * factor:g}. Points are missing or "
                "damaged: fetch the file again."
            )
    warnings.warn(
        f"{file.path}: the positions of its lines are {shift * abs(step):+.6g} from where FIRSTX and the points above "
        "put them, all alike. No point is missing by NPOINTS, and FIRSTX and LASTX are taken as they are.",
        stacklevel=4,
    )


def _last_digit(text: str) -> float:
    """Return the value of the last digit of a number, 0.01 for "574.93"."""
    mantissa, _, exponent = text.upper().partition("E")
    decimals = len(mantissa.partition(".")[2]) - float(exponent or 0)
    return 10.0 ** min(-decimals, 300.0)


def _is_complete(file: JCAMPFile, lines: list[_Line]) -> bool:
    """Check that no point is missing by the labels of the file."""
    found = sum(len(line.ordinates.values) - line.repeats for line in lines)
    return {"LASTX", "NPOINTS"} <= file.labels.keys() and file.number("NPOINTS") == found


def _count_points(lines: list[_Line], direction: float) -> bool:
    """Check that lines begin with the number of their first point, up from 0 or 1, or down to 0 or 1.

    Programs for NMR write such numbers. Numbers that fall, while positions rise, would leave the order of points open.
    """
    texts = [line.ordinates.position for line in lines]
    if not all(re.fullmatch(r"[+-]?\d{1,15}(?:\.0*)?", text) for text in texts):
        return False
    numbers = [int(float(text)) for text in texts]
    rising = [number - line.start for number, line in zip(numbers, lines, strict=True)]
    falling = [number + line.start for number, line in zip(numbers, lines, strict=True)]
    count = lines[-1].start + len(lines[-1].ordinates.values)
    up = len(set(rising)) == 1 and rising[0] in (0, 1)
    down = len(set(falling)) == 1 and falling[0] in (count - 1, count) and direction < 0
    return up or down
