"""Points or peaks of JCAMP-DX's (XY..XY)."""

import re
from pathlib import Path

from molspectra.data.io.jcamp_file import JCAMPFile, read_jcamp_file
from molspectra.data.io.jcamp_ordinates import has_decimal_commas, is_affn
from molspectra.data.io.measured_spectrum import MeasuredSpectrum


def read_jcamp_peaks(path: Path) -> tuple[MeasuredSpectrum, str, str]:
    """Read a list of peaks and the texts of its XUNITS and YUNITS.

    Raises:
        ValueError: the file is damaged, or holds no list of peaks or several.
    """
    file = read_jcamp_file(path, peaks=True)
    if file.form != "XY..XY":
        raise ValueError(f"{path} must hold its peaks as (XY..XY); got {file.form!r}. Read curves with read_jcamp.")
    spectrum = read_pairs(file)
    check_number_of_points(file, len(spectrum.positions))
    return spectrum, file.labels.get("XUNITS", ""), file.labels.get("YUNITS", "")


def read_pairs(file: JCAMPFile) -> MeasuredSpectrum:
    """Read the points of (XY..XY).

    Raises:
        ValueError: a line does not hold pairs of numbers, or a factor is 0.
    """
    x_factor, y_factor = file.number("XFACTOR", 1.0), file.number("YFACTOR", 1.0)
    if x_factor == 0 or y_factor == 0:
        raise ValueError(f"{file.path} must have an XFACTOR and a YFACTOR that are not 0; got {x_factor}, {y_factor}.")
    spectrum = MeasuredSpectrum(file.path, [], [], [])
    for number, text in file.data:
        cells = [cell for cell in re.split(r"[,;\s]+", text) if cell]
        if len(cells) % 2 or not is_affn(cells):
            _refuse_decimal_commas(file, number, text)
            raise ValueError(
                f"{file.path}, line {number}: expected pairs of numbers, x and y; got {text!r}. Repair the line."
            )
        numbers = [float(cell) for cell in cells]
        spectrum.positions += [x * x_factor for x in numbers[::2]]
        spectrum.values += [y * y_factor for y in numbers[1::2]]
        spectrum.lines += [number] * (len(numbers) // 2)
    x = spectrum.positions
    if x != sorted(x) and x != sorted(x, reverse=True):
        # "1000,5 0,1" is one point with decimal commas, or two points. Two would be out of order.
        for number, text in file.data:
            _refuse_decimal_commas(file, number, text)
    return spectrum


def check_number_of_points(file: JCAMPFile, found: int) -> None:
    """Check that no point is missing by NPOINTS.

    Raises:
        ValueError: the number differs.
    """
    if "NPOINTS" in file.labels and found != file.number("NPOINTS"):
        raise ValueError(
            f"{file.path} must hold {file.labels['NPOINTS']} points, as its NPOINTS says; found {found}. It is damaged "
            "or truncated: fetch it again."
        )


def _refuse_decimal_commas(file: JCAMPFile, number: int, text: str) -> None:
    if has_decimal_commas(text):
        raise ValueError(
            f"{file.path}, line {number}: numbers must have decimal points; got decimal commas in {text!r}. Export the "
            "file with decimal points."
        )
