"""Ten thousand generated and damaged files: the right values or a clear error, and no other exception.

A seeded generator writes files of known content in the forms of each format, and damages some of them as editors, disks
and transfers do. The oracles read the damaged text on their own, line by line and without any tolerance.
"""

import random
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from molspectra.data import SpectrumAxis
from molspectra.data.io import read_jcamp, read_peak_list, read_spectrum_table
from tests.data.io.test_readers import encode
from tests.data.io.test_readers import jcamp as jcamp_text

FILES = 3500  # of each format
AXIS = SpectrumAxis("ir", 1000.0, 1060.0, 2.0, "cm^-1")
MASS = SpectrumAxis("ms", 0.0, 90.0, 1.0, "m/z")
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
CHARACTERS = '0123456789.,;:+-eE @AJ%x#T/[]>\t"\n\xb5'


def damage(text: str, begin: int, rng: random.Random) -> str:
    """Damage the part of a text from a place on, once."""
    at = rng.randrange(begin, len(text))
    lines = text[begin:].splitlines(keepends=True)
    line, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.choice(["drop", "insert", "replace", "cut", "drop line", "twice", "swap", "comma", "garbage"])
    if kind in ("drop", "insert", "replace"):
        return text[:at] + ("" if kind == "drop" else rng.choice(CHARACTERS)) + text[at + (kind != "insert") :]
    if kind == "cut":
        return text[:at]
    if kind == "drop line":
        del lines[line]
    elif kind == "twice":
        lines.insert(line, lines[line])
    elif kind == "swap":
        lines[line], lines[other] = lines[other], lines[line]
    elif kind == "comma":
        lines[line] = lines[line].replace(".", ",")
    else:
        lines.insert(line, "".join(rng.choices(CHARACTERS[10:], k=rng.randrange(1, 9))) + "\n")  # no digits
    return text[:begin] + "".join(lines)


@pytest.fixture
def outcome(monkeypatch):
    """Read a text, which stands in the place of a file, since to write ten thousand takes a minute on some disks."""
    content = {}
    monkeypatch.setattr(Path, "read_bytes", lambda path: content["of the file"])

    def outcome_of(read, text: str | bytes, *arguments, **keywords) -> np.ndarray | None:
        content["of the file"] = text if isinstance(text, bytes) else text.encode()
        return outcome_or_none(read, "in.memory", *arguments, **keywords)

    return outcome_of


def outcome_or_none(read, *arguments, **keywords) -> np.ndarray | None:
    """Return what a reader gives, or None for a clear error. Any other exception fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return read(*arguments, **keywords)[0].numpy()
        except ValueError as error:
            message = str(error)
    assert "in.memory" in message, message
    return None


def interpolated(points: list[tuple[float, float]], axis: SpectrumAxis) -> np.ndarray:
    x, y = np.array(sorted(points)).T
    grid = axis.grid.numpy()
    inside = (grid >= x[0] - 1e-3 * axis.step) & (grid <= x[-1] + 1e-3 * axis.step)
    for i in range(len(x) - 1 if len(x) > 3 else 0):
        beside = [x[j + 1] - x[j] for j in (i - 1, i + 1) if 0 <= j < len(x) - 1]
        if x[i + 1] - x[i] > 10 * max(beside):  # nobody measured there
            inside &= (grid <= x[i]) | (grid >= x[i + 1])
    return np.where(inside, np.interp(grid, x, y), np.nan)


def check(read: np.ndarray | None, points: list[tuple[float, float]] | None, axis: SpectrumAxis, text: str) -> None:
    if read is not None:
        assert points is not None, f"read a damaged line in silence:\n{text}"
        expected = interpolated(points, axis)
        np.testing.assert_allclose(read, expected, rtol=2e-4, atol=1e-4, err_msg=text)


# Tables

HEADERS = {
    ("cm^-1", "absorbance"): ["", "cm-1{0}A", "# made by a program\n", "Wavenumber (1/cm){0}Abs", "x{0}y", "a b c\n"],
    ("nm", "absorbance"): ["nm{0}Abs.", "Wavelength [nm]{0}Absorbance"],
    ("um", "percent_transmittance"): ["µm{0}%T", "wavelength/um{0}T (%)"],
    ("eV", "transmittance"): ["Energy (eV){0}Transmittance"],
    ("cm^-1", "percent_transmittance"): ["cm-1{0}% Transmittance", "XUNITS\t1/CM\nYUNITS\t%T\nXYDATA"],
}
CONVERTED = {"cm^-1": lambda x: x, "nm": lambda x: 1e7 / x, "um": lambda x: 1e4 / x, "eV": lambda x: x / 8065.543937}
STORED = {
    "absorbance": lambda a: a,
    "transmittance": lambda a: 10.0**-a,
    "percent_transmittance": lambda a: 100 * 10.0**-a,
}


def a_table(rng: random.Random) -> tuple[str, int, list[tuple[float, float]], str, str]:
    """Text, place where its points begin, points in cm^-1 and absorbance, and the units in the file."""
    x_unit, y_unit = rng.choice(list(HEADERS))
    x = np.linspace(1000 - rng.random() * 5, 1060 + rng.random() * 5, rng.randrange(4, 12))
    a = np.array([rng.choice([0.02, 0.3, 1.1]) + 0.2 * rng.random() for _ in x])
    delimiter = rng.choice([",", ";", "\t", " ", "  "])
    header = rng.choice(HEADERS[x_unit, y_unit]).format(delimiter if delimiter.strip(" ") else "   ")
    rows = zip(CONVERTED[x_unit](x).tolist(), STORED[y_unit](a).tolist(), strict=True)
    lines = [f"{position:.10g}{delimiter}{value:.8g}" for position, value in rows]
    if rng.random() < 0.5:
        lines.reverse()
    head = header + "\n" * (header != "" and not header.endswith("\n"))
    foot = rng.choice(["", "", "\nend of file\n", "[Comments]\nnothing\n"])
    return head + "\n".join(lines) + "\n" + foot, len(head), list(zip(x, a, strict=True)), x_unit, y_unit


def is_nearly_a_point(line: str) -> bool:
    """Check that a line is two numbers, or would be without one of its characters."""
    point = re.compile(rf'[\s"]*{NUMBER}[\s,;:"]+{NUMBER}[\s,;"]*')
    return any(point.fullmatch(line[:i] + line[i + 1 :]) for i in range(len(line))) or bool(point.fullmatch(line))


def lines_of_points(text: str, end: str, has_header: bool = True) -> list[str]:
    """Return the lines that must be points: all but comments, text above the first one, and text below the last."""
    lines = text.split("\n")
    kept: list[str] = []
    for line, above in zip(lines, ["?", *lines], strict=False):
        if not line.strip() or re.match(r"\s*(#(?!#END)|%(?! ?T)|!|//(?=.)|\$\$)", line):
            continue
        if (kept and re.match(end, line)) or (kept and not above.strip() and not is_nearly_a_point(line)):
            break
        if kept or not has_header or is_nearly_a_point(line):
            kept.append(line)
    return kept


def points_in_table(text: str) -> list[tuple[float, float]] | None:
    """Read every line as two numbers. None, if one is anything else."""
    points = []
    for line in lines_of_points(text, r"\s*(\[[^\]]*\]\s*$|>>>)"):
        cells = [cell.strip('"') for cell in re.split(r"[,;\s]+", line.strip(",;\t ")) if cell]
        if len(cells) != 2 or not all(re.fullmatch(NUMBER, cell) for cell in cells):
            return None
        points.append((float(cells[0]), float(cells[1])))
    return points


@pytest.mark.slow
def test_tables(outcome):
    rng, right = random.Random(1), 0
    for k in range(FILES):
        text, begin, points, x_unit, y_unit = a_table(rng)
        if k % 4 == 0:
            read = outcome(read_spectrum_table, text.encode(rng.choice(["utf-8", "utf-8-sig"])), AXIS)
            assert read is not None, text
            # Interpolation comes after the conversion to absorbance and wavenumbers.
            check(read, points, AXIS, text)
        elif k % 4 == 1:
            text = damage(text, 0, rng)  # a damaged header may name another unit, or none
            outcome(read_spectrum_table, text.encode("latin-1", errors="replace"), AXIS)
        else:
            text = damage(text, begin, rng)
            read = outcome(read_spectrum_table, text, AXIS, x_unit=x_unit, y_unit=y_unit)
            found = points_in_table(text[begin:])
            if read is not None and found is not None:
                x, y = np.array(found).T
                shown = y if y_unit == "absorbance" else -np.log10(y / (100 if "percent" in y_unit else 1))
                x = {"nm": 1e7 / x, "um": 1e4 / x, "eV": x * 8065.543937}.get(x_unit, x)
                found = list(zip(x, shown, strict=True))
            check(read, found, AXIS, text)
        right += read is not None if k % 4 != 1 else 0
    assert right > FILES / 3


# JCAMP-DX


@pytest.mark.slow
def test_jcamp(outcome):
    rng = random.Random(2)
    for k in range(FILES):
        values = [rng.randrange(-150, 150) for _ in range(rng.choice([7, 20, 31]))]
        form = rng.choice(["AFFN", "PAC", "SQZ", "DIF", "DUP"])
        values[2:5] = [values[2]] * 3
        lines = encode(values, form, 1000, 2, per_line=rng.choice([5, 7]))
        text = jcamp_text(lines, len(values), XUNITS=rng.choice(["1/CM", "cm-1"]))
        begin = text.index("(X++(Y..Y))") + len("(X++(Y..Y))\n")
        points = [(1000.0 + 2 * i, value / 100) for i, value in enumerate(values)]
        if k % 4 == 1:
            text = damage(text, 0, rng)  # a damaged factor or unit shows in nothing else
            outcome(read_jcamp, text.encode("latin-1", errors="replace"), AXIS)
            continue
        if k % 4:
            text = damage(text, begin, rng)
        read = outcome(read_jcamp, text, AXIS)
        assert k % 4 or read is not None, text
        if read is not None:
            # A digit may have changed: of one value, where no difference to the next one shows it.
            wrong = int((~np.isclose(read, interpolated(points, AXIS), 0, 1e-5, equal_nan=True)).sum())
            assert wrong <= (k % 4 != 0 and form in ("AFFN", "PAC", "SQZ")), text


# Peaks


def a_peak_list(rng: random.Random) -> tuple[str, int]:
    peaks = [(rng.randrange(10, 900) / 10, rng.randrange(1, 1000)) for _ in range(rng.randrange(3, 9))]
    kind = rng.choice(["table", "msp", "mgf", "jcamp"])
    rows = [f"{x:.2f} {y}" for x, y in peaks]
    if kind == "msp":
        head, foot = f"Name: a\nMW: 20\nNum Peaks: {len(peaks)}\n", ""
    elif kind == "mgf":
        head, foot = "BEGIN IONS\nTITLE=a\nPEPMASS=47.1\n", "END IONS\n"
    elif kind == "jcamp":
        head = f"##TITLE=a\n##JCAMP-DX=4.24\n##XUNITS=M/Z\n##NPOINTS={len(peaks)}\n##PEAK TABLE=(XY..XY)\n"
        rows, foot = [row.replace(" ", ",") for row in rows], "##END=\n"
    else:
        head, foot = rng.choice(["", "m/z intensity\n", "# peaks\n"]), ""
    return head + "\n".join(rows) + "\n" + foot, len(head)


def peaks_in(text: str, has_header: bool) -> np.ndarray | None:
    """Bin the peaks, in a loop. None, if a line is anything else."""
    spectrum = np.zeros(MASS.length)
    for line in lines_of_points(text, r"\s*(END IONS|##END)", has_header):
        cells = [cell.strip('"') for cell in re.split(r"[,;:\s]+", line.strip(",;\t ")) if cell]
        if len(cells) % 2 or not all(re.fullmatch(NUMBER, cell) for cell in cells):
            return None
        for x, y in zip(cells[::2], cells[1::2], strict=True):
            if -0.5 <= float(x) <= MASS.stop + 0.5:
                spectrum[min(round(float(x)), MASS.length - 1)] += float(y)
    return spectrum


@pytest.mark.slow
def test_peak_lists(outcome):
    rng, right = random.Random(3), 0
    for k in range(FILES):
        text, begin = a_peak_list(rng)
        if k % 4 == 1:
            outcome(read_peak_list, damage(text, 0, rng).encode("latin-1", errors="replace"), MASS)
            continue
        if k % 4:
            text = damage(text, begin, rng)
        read = outcome(read_peak_list, text, MASS)
        assert k % 4 or read is not None, text
        if read is not None:
            expected = peaks_in(text[begin:], has_header=not text.startswith(("##", "BEGIN", "Name")))
            assert expected is not None, f"read a damaged line in silence:\n{text}"
            np.testing.assert_allclose(read, expected, rtol=1e-5, err_msg=text)
            right += 1
    assert right > FILES / 3
