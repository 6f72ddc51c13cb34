"""Readers of measured spectra against NumPy, SciPy's constants, plain forms of the same data, and damage."""

from pathlib import Path

import jcamp as other_reader
import numpy as np
import pytest
import torch
from scipy import constants

from molspectra.data import SpectrumAxis
from molspectra.data.io import read_jcamp, read_spectrum_table
from molspectra.data.io.jcamp_ordinates import parse_line

AXIS = SpectrumAxis("ir", 1000.0, 1100.0, 5.0, "cm^-1")
X = np.linspace(990.0, 1110.0, 41)
Y = 0.2 + 0.1 * np.sin(X / 7)


@pytest.fixture
def write(tmp_path):
    """Write a file of some text, or bytes, and give its path."""

    def writer(content: str | bytes, name: str = "spectrum.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return writer


def table(x, y, delimiter: str = ",", header: str = "") -> str:
    return header + "".join(f"{a:.10g}{delimiter}{b:.10g}\n" for a, b in zip(x, y, strict=True))


def interpolated(x, y, axis: SpectrumAxis = AXIS) -> np.ndarray:
    order = np.argsort(x)
    return np.interp(axis.grid.numpy(), np.asarray(x)[order], np.asarray(y)[order], left=np.nan, right=np.nan)


@pytest.mark.parametrize("delimiter", [",", ", ", "\t", ";", " ", "   "])
@pytest.mark.parametrize("header", ["", "wavenumber,absorbance\n", "# 12,5 comment\n\nInstrument: X 2000\ncm-1;A\n"])
@pytest.mark.parametrize("descending", [False, True])
def test_tables_equal_numpy(write, delimiter, header, descending):
    x, y = (X[::-1], Y[::-1]) if descending else (X, Y)
    spectrum = read_spectrum_table(write(table(x, y, delimiter, header)), AXIS)
    assert spectrum.shape == (1, AXIS.length)
    assert spectrum.dtype == torch.float32
    np.testing.assert_allclose(spectrum[0].numpy(), interpolated(X, Y), rtol=1e-6)


def test_encodings_line_ends_and_columns(write):
    rows = "".join(f"{i}|{b:.10g}|{a:.10g}\r\n" for i, (a, b) in enumerate(zip(X, Y, strict=True)))
    for content in (("\ufeffnumber|A|cm⁻¹\r\n" + rows).encode(), ("number|A|\u00b5m\r\n" + rows).encode("latin-1")):
        spectrum = read_spectrum_table(write(content), AXIS, x_column=2, y_column=1, x_unit="cm^-1", delimiter="|")
        np.testing.assert_allclose(spectrum[0].numpy(), interpolated(X, Y), rtol=1e-6)


@pytest.mark.parametrize(("unit", "other"), [("cm^-1", "nm"), ("cm^-1", "um"), ("cm^-1", "eV"), ("eV", "nm")])
def test_units_of_positions(write, unit, other):
    axis = AXIS if unit == "cm^-1" else SpectrumAxis("uv_vis", 2.0, 4.0, 0.05, "eV")
    x = np.linspace(axis.start - 0.1, axis.stop + 0.1, 60)
    y = np.cos(3 * np.arange(60))
    # Photon energy in J, the long way round, from SciPy's table of constants.
    hc = constants.h * constants.c
    joule = x * 100 * hc if unit == "cm^-1" else x * constants.e
    there = {"nm": hc / joule * 1e9, "um": hc / joule * 1e6, "eV": joule / constants.e}[other]
    rows = "".join(f"{a!r}\t{b!r}\n" for a, b in zip(there.tolist(), y.tolist(), strict=True))
    spectrum = read_spectrum_table(write(rows), axis, x_unit=other, y_unit="intensity")
    np.testing.assert_allclose(spectrum[0].numpy(), interpolated(x, y, axis), atol=1e-6)


def test_transmittance(write):
    transmittance = 10**-Y
    fraction = read_spectrum_table(write(table(X, transmittance)), AXIS, y_unit="transmittance")
    percent = read_spectrum_table(write(table(X, 100 * transmittance)), AXIS, y_unit="percent_transmittance")
    # The logarithm comes before the interpolation.
    np.testing.assert_allclose(fraction[0].numpy(), interpolated(X, Y), rtol=1e-5)
    np.testing.assert_allclose(percent[0].numpy(), interpolated(X, Y), rtol=1e-5)


@pytest.mark.parametrize(("unit", "scale"), [("transmittance", 1), ("percent_transmittance", 100)])
def test_saturated_transmittance(write, unit, scale):
    file = write(table(AXIS.grid[:4], np.array([1.0, 0.1, 0.0, -0.001]) * scale))
    spectrum = read_spectrum_table(file, AXIS, y_unit=unit, min_transmittance=1e-3)
    np.testing.assert_allclose(spectrum[0, :4].numpy(), [0, 1, 3, 3], atol=1e-6)
    with pytest.raises(ValueError, match=r"line 3: values in .* must be positive.*min_transmittance"):
        read_spectrum_table(file, AXIS, y_unit=unit)
    with pytest.raises(ValueError, match="min_transmittance must lie between 0 and 1"):
        read_spectrum_table(file, AXIS, y_unit=unit, min_transmittance=0.0)


def test_outside_and_area(write):
    file = write(table([1020, 1040], [1, 1]))
    inside = (AXIS.grid >= 1020) & (AXIS.grid <= 1040)
    assert read_spectrum_table(file, AXIS, outside="zero")[0].eq(inside).all()
    assert torch.equal(read_spectrum_table(file, AXIS)[0].isnan(), ~inside)
    with pytest.raises(ValueError, match="source must cover 1000 to 1100"):
        read_spectrum_table(file, AXIS, outside="raise")
    fine = np.linspace(1000, 1100, 20001)
    line = np.exp(-0.5 * ((fine - 1052.4) / 0.1) ** 2)  # between two samples
    averaged = read_spectrum_table(write(table(fine, line)), AXIS, conserve_area=True)
    assert torch.trapezoid(averaged[0], dx=5.0) == pytest.approx(0.1 * np.sqrt(2 * np.pi), rel=1e-4)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "at least two points of a spectrum; found 0"),
        ("x,y\n1,2\n", "at least two points of a spectrum; found 1"),
        ("1000 1\n1005 nan\n", r"spectrum.csv, line 2: position and value must be finite; got 1005 and nan"),
        ("1000 1\n\ninf 1\n", r"line 3: position and value must be finite"),
        ("1000,1\n1005,2\n1005,3\n", "line 3: the position 1005 is there twice, first in line 2"),
        ("1000,1\n1005,2\n1003,3\n", "line 3: positions must be all ascending or all descending; 1003 follows 1005"),
        ("1000,1\n1005,2\n1010\n", r"line 3: expected numbers in columns 0 and 1; got '1010', which splits into"),
        ("1000,1\n1005,\n", "line 2: expected numbers in columns 0 and 1"),
        ("1000,one\n1005,2\n", "line 1: expected numbers in columns 0 and 1; got '1000,one'"),
        ("1000,1\n1005,2\nend of data\n", "line 3: expected numbers"),
        ("1000,1\n1_005,2\n", "line 2: expected numbers"),
        ("1000,5;0,1\n1005,5;0,2\n", "line 1: numbers must have decimal points; got decimal commas"),
        ("x\ty\n1000\t0,1\n1005\t0,2\n", "line 2: numbers must have decimal points"),
        ("x y\n1000,0 1e-1\n", "line 2: numbers must have decimal points"),
        (b"1\x000\x00", "must be a text file in UTF-8, Latin-1, or UTF-16 with its mark; it has zero bytes"),
    ],
)
def test_damaged_tables(write, content, match):
    with pytest.raises(ValueError, match=match):
        read_spectrum_table(write(content), AXIS)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"x_column": 1}, "x_column and y_column must be two different columns, counted from 0; got 1 and 1"),
        ({"x_column": -1}, "got -1 and 1"),
        ({"delimiter": ""}, "delimiter must not be empty"),
        ({"x_unit": "THz"}, r"x_unit must be the unit of the axis \('cm\^-1' of 'ir'\), or both must be among"),
        ({"y_unit": "reflectance"}, 'y_unit must be "absorbance", .* or "intensity"; got \'reflectance\''),
        ({"outside": "drop"}, 'outside must be "nan", "zero" or "raise"'),
        ({"y_unit": "transmittance"}, r"line 3: values in transmittance must not exceed 2: pass y_unit=\"percent_tr"),
    ],
)
def test_refused_arguments(write, arguments, match):
    with pytest.raises(ValueError, match=match):
        read_spectrum_table(write("x,T\n1000,1.5\n1005,90\n"), AXIS, **arguments)


def test_refused_conversion_of_zero(write):
    with pytest.raises(ValueError, match="line 1: positions in nm must be positive to be converted to cm"):
        read_spectrum_table(write("0,1\n10,1\n"), AXIS, x_unit="nm")


def test_missing_files(tmp_path):
    for read in (read_spectrum_table, read_jcamp):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none", AXIS)


# JCAMP-DX

DIGITS = {0: "@%", **{d: ("ABCDEFGHI"[d - 1], "JKLMNOPQR"[d - 1]) for d in range(1, 10)}}
DIGITS |= {-d: ("abcdefghi"[d - 1], "jklmnopqr"[d - 1]) for d in range(1, 10)}


def pseudo(value: int, difference: bool) -> str:
    """A number whose first digit is a letter, with its sign; written from the tables of the standard."""
    first = int(str(abs(value))[0]) * (-1 if value < 0 else 1)
    return DIGITS[first][difference] + str(abs(value))[1:]


def encode(values: list[int], form: str, start: int, step: int, per_line: int = 7) -> list[str]:
    """The lines of (X++(Y..Y)), a value at a time, as a program would write them."""
    lines = []
    for first in range(0, len(values), per_line):
        part = values[first : first + per_line]
        position = str(start + step * first)
        if form == "AFFN":
            lines.append(" ".join([position, *map(str, part)]))
        elif form == "PAC":
            lines.append(position + "".join(f"{value:+d}" for value in part))
        elif form == "SQZ":
            lines.append(position + "".join(pseudo(value, False) for value in part))
        else:
            # A line of differences is checked by the next: it begins with the last value of the one above.
            begin = values[first - 1] if first else part[0]
            rest = part if first else part[1:]
            position = str(start + step * (first - 1 if first else 0))
            tokens = [pseudo(b - a, True) for a, b in zip([begin, *rest][: len(rest)], rest, strict=True)]
            lines.append(position + pseudo(begin, False) + (squeeze(tokens) if form == "DUP" else "".join(tokens)))
    if form in ("DIF", "DUP") and len(values) > 1:
        lines.append(str(start + step * (len(values) - 1)) + pseudo(values[-1], False))
    return lines


def squeeze(tokens: list[str]) -> str:
    """Runs of equal tokens as one and a count, itself included."""
    out, i = "", 0
    while i < len(tokens):
        run = 1
        while i + run < len(tokens) and tokens[i + run] == tokens[i]:
            run += 1
        count = "" if run == 1 else "STUVWXYZs"[int(str(run)[0]) - 1] + str(run)[1:]
        out, i = out + tokens[i] + count, i + run
    return out


def jcamp(lines: list[str], points: int = 0, **labels: str | None) -> str:
    known: dict[str, str | None] = {
        "TITLE": "a test $$ with a comment",
        "JCAMP-DX": "4.24",
        "DATA TYPE": "INFRARED SPECTRUM",
        "XUNITS": "1/CM",
        "YUNITS": "ABSORBANCE",
        "FIRSTX": "1000",
        "LASTX": str(1000 + 2 * (points - 1)),
        "NPOINTS": str(points),
        "XFACTOR": "1",
        "YFACTOR": "0.01",
        "XYDATA": "(X++(Y..Y))",
    }
    known |= {label.replace("_", " "): value for label, value in labels.items()}
    known["XYDATA"] = known.pop("XYDATA")  # last: the lines that follow are its own
    head = [f"##{label}={value}" for label, value in known.items() if value is not None]
    return "\n".join([*head, *lines, "##END=", ""])


def counts(n: int) -> list[int]:
    generator = torch.Generator().manual_seed(n)
    values = torch.randint(-150, 150, (n,), generator=generator)
    values[n // 3 : n // 2] = 17  # a run, so that there are duplicates
    return values.tolist()


@pytest.mark.parametrize("form", ["AFFN", "PAC", "SQZ", "DIF", "DUP"])
@pytest.mark.parametrize("points", [2, 7, 8, 51, 64])
def test_forms_of_ordinates(write, form, points):
    values = counts(points)
    axis = SpectrumAxis("ir", 1000, 1000 + 2 * (points - 1), 2, "cm^-1")
    file = write(jcamp(encode(values, form, 1000, 2), points), "a.jdx")
    np.testing.assert_allclose(read_jcamp(file, axis)[0].numpy(), np.array(values) / 100, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "labels", [{"LASTX": None, "NPOINTS": None, "DELTAX": "2"}, {"DELTAX": "7 or so"}, {"ORIGIN": ""}]
)
def test_step_comes_from_the_ends_where_they_are(write, labels):
    values = counts(21)
    axis = SpectrumAxis("ir", 1000, 1040, 2, "cm^-1")
    file = write(jcamp(encode(values, "DIF", 1000, 2), 21, **labels), "a.jdx")
    np.testing.assert_allclose(read_jcamp(file, axis)[0].numpy(), np.array(values) / 100, rtol=1e-6, atol=1e-8)


def test_descending_and_scaled_positions(write):
    values = counts(20)
    lines = encode(values, "DUP", 400, -1)  # in half wavenumbers
    labels = {"FIRSTX": "200", "LASTX": "190.5", "XFACTOR": "0.5", "FIRSTY": "wrong"}
    axis = SpectrumAxis("ir", 190.5, 200, 0.5, "cm^-1")
    spectrum = read_jcamp(write(jcamp(lines, 20, **labels), "a.jdx"), axis)
    np.testing.assert_allclose(spectrum[0].numpy(), np.array(values[::-1]) / 100, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "lines",
    [["1000, 1", "1010, 3;1020, 2"], ["1000 1 1010 3", "1020 2"], ["1.0E3,1.0E+0", "1010,3.0", "", "1020;2e0"]],
)
@pytest.mark.parametrize("label", ["XYDATA", "XYPOINTS"])
def test_pairs(write, lines, label):
    labels = {"XYDATA": None, label: "(XY..XY)", "YFACTOR": "1"}
    axis = SpectrumAxis("ir", 1000, 1020, 5, "cm^-1")
    spectrum = read_jcamp(write(jcamp(lines, 3, **labels), "a.jdx"), axis)
    np.testing.assert_allclose(spectrum[0].numpy(), [1, 2, 3, 2.5, 2])


def test_units_of_the_file_and_in_place_of_them(write):
    pairs = {"XYDATA": "(XY..XY)", "YFACTOR": "1"}
    axis = SpectrumAxis("ir", 1000, 2000, 500, "cm^-1")
    expected = [0.0, 0.5, 1.0]  # at 10 um no absorbance, at 5 um (2000 cm^-1) one
    for unit, scale in (("MICROMETERS", 1), ("NANOMETERS", 1000)):
        for y_unit, y_scale in (("TRANSMITTANCE", 1), ("% TRANSMITTANCE", 100)):
            lines = [f"{5 * scale},{0.1 * y_scale}", f"{10 * scale},{1 * y_scale}"]
            text = jcamp(lines, 2, XUNITS=unit, YUNITS=y_unit, **pairs)
            np.testing.assert_allclose(read_jcamp(write(text, "a.jdx"), axis)[0].numpy(), expected, atol=1e-6)
    text = jcamp(["5,10", "10,100"], 2, XUNITS=None, YUNITS="TRANSMITTANCE", **pairs)
    with pytest.raises(ValueError, match=r"must say its unit as ##XUNITS=, one of .*; got ''. Pass x_unit"):
        read_jcamp(write(text, "a.jdx"), axis)
    with pytest.raises(ValueError, match="line 11: values in transmittance must not exceed 2: pass y_unit"):
        read_jcamp(write(text, "a.jdx"), axis, x_unit="um")
    spectrum = read_jcamp(write(text, "a.jdx"), axis, x_unit="um", y_unit="percent_transmittance")
    np.testing.assert_allclose(spectrum[0].numpy(), expected, atol=1e-6)


DIF = encode(counts(20), "DIF", 1000, 2)
AFFN = encode(counts(20), "AFFN", 1000, 2)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (jcamp(DIF[:-2] + DIF[-1:], 20), r"line 14: the line must begin at 1026.* it says 1038.* Points are missing"),
        (jcamp(DIF[:-2], 20), "must hold 20 points, as its NPOINTS says; found 14"),
        (jcamp(AFFN[:1] + AFFN[2:], 20), "line 13: the line must begin at 1014"),
        (jcamp(AFFN, 21, LASTX="1038"), "must hold 21 points, as its NPOINTS says; found 20|line 13"),
        (
            jcamp([DIF[0][:-1] + ("1" if DIF[0][-1] != "1" else "2"), *DIF[1:]], 20),
            "differences in the line above must",
        ),
        (jcamp(AFFN, 20).replace("##END=\n", ""), r"must end with ##END=; it does not. It is truncated"),
        (jcamp(["1000 1 2", "1004 ? 4"], 4), r"line 13: got '\?' at place 6 .*: a value is missing"),
        (jcamp(["1000 1 2", "1004 3 x4"], 4), r"line 13: got 'x' at place 8 .*: it is no digit"),
        (
            jcamp(["1000 1 2", "1004"], 4),
            "line 13: expected values after the position; got '1004'. The line is cut off",
        ),
        (jcamp(["1000J2"], 4), "line 12: got 'J2' ahead of any value"),
        (jcamp(["A1J2"], 4), "line 12: expected a position at the beginning"),
        (jcamp(["1000,1", "1010"], 2, XYDATA="(XY..XY)"), "line 13: expected pairs of numbers, x and y; got '1010'"),
        (jcamp(["1000,1", "1010,1", "1005,1"], 3, XYDATA="(XY..XY)"), "line 14: positions must be all ascending"),
        (jcamp(AFFN, 20, XYDATA="(R++(A..A))"), r"must hold its curve as \(X\+\+\(Y..Y\)\) or \(XY..XY\)"),
        (jcamp(AFFN, 20, XYDATA=None), "must be a JCAMP-DX file with XYDATA or XYPOINTS; found"),
        (jcamp(["1,2"], 1, XYDATA=None, PEAK_TABLE="(XY..XY)"), "a list of peaks .* molspectra.data.broaden"),
        (jcamp(AFFN, 20, NTUPLES="NMR FID"), "line 11: expected one curve; got several variables"),
        (jcamp(AFFN, 20, DATA_TYPE="LINK"), "line 3: expected one spectrum; got a LINK of several"),
        (jcamp(AFFN, 20) + jcamp(AFFN, 20), "expected one spectrum; got another"),
        (jcamp(AFFN, 20, FIRSTX="none"), "must have a number as ##FIRSTX=; got 'none'"),
        (jcamp(AFFN, 20, LASTX=None), "must have a number as ##DELTAX=; it is missing"),
        (jcamp(AFFN, 20, LASTX="1000"), "different positions; got a step of 0"),
        (jcamp(AFFN, 20, YUNITS="KUBELKA-MUNK"), "must say its unit as ##YUNITS=.*got 'KUBELKA-MUNK'. Pass y_unit"),
        ("##TITLE no equals sign\n", "line 1: a label must end with ="),
        ("\x00\x01", "it has zero bytes"),
    ],
)
def test_damaged_jcamp(write, text, match):
    with pytest.raises(ValueError, match=match):
        read_jcamp(write(text, "a.jdx"), AXIS)


# Published files


@pytest.fixture
def published(sample_files):
    return sample_files / "jcamp"


def test_published_squeezed_file_equals_its_plain_form(published):
    axis = SpectrumAxis("current", 4, 56, 1, "ms")
    units = {"x_unit": "ms", "y_unit": "intensity"}
    plain, squeezed = (
        read_jcamp(published / f"{name}_example.jdx", axis, **units) for name in ("noencoding", "difdup")
    )
    assert torch.equal(plain, squeezed)
    rows = [
        line.split() for line in (published / "noencoding_example.jdx").read_text().splitlines() if line[0].isdigit()
    ]
    expected = [0.1 * float(value) for row in rows for value in row[1:]]
    np.testing.assert_allclose(plain[0].numpy(), expected, rtol=1e-6, atol=1e-8)


def test_published_forms_agree_where_they_overlap(published):
    step = 0.341380770512785
    first = 5592.84116331095
    values = {}
    for form, points in (("fix", 8), ("packed", 30), ("squeezed", 38), ("difdup", 30)):
        axis = SpectrumAxis("ir", first - step * (points - 1), first, step, "cm^-1")
        file = published / f"small-jcamp-{form}.dx"
        values[form] = read_jcamp(file, axis, x_unit="cm^-1", y_unit="intensity")[0].flip(0).round()
    assert values["fix"].tolist() == [-10247, 1201, -5196, 7245, -5777, 5015, -8583, -3100]
    assert torch.equal(values["packed"][:8], values["fix"])
    assert torch.equal(values["difdup"], values["packed"])
    assert torch.equal(values["squeezed"][:30], values["packed"])


@pytest.mark.parametrize(
    ("name", "unit", "arguments"),
    [
        ("ethanol2.jdx", "cm^-1", {"y_unit": "intensity"}),
        ("isopropanol_ASDF.jdx", "cm^-1", {}),
        ("scientific_notation_example.jdx", "cm^-1", {}),
        ("tannic_acid.jdx", "cm^-1", {}),
        ("2Methyl1Propanol.jdx", "ppm", {}),
    ],
)
def test_published_spectra_equal_another_reader(published, name, unit, arguments, capsys):
    spectrum = other_reader.readfile(str(published / name))
    x, y = np.asarray(spectrum["x"], dtype=float), np.asarray(spectrum["y"], dtype=float)
    axis = SpectrumAxis("measured", x.min() - 0.1, x.max() + 0.1, (x.max() - x.min() + 0.2) / 997, unit)
    read = read_jcamp(published / name, axis, **arguments)
    np.testing.assert_allclose(read[0].numpy(), interpolated(x, y, axis), rtol=1e-4, atol=1e-5 * np.abs(y).max())


def test_published_percents_called_transmittance(published):
    axis = SpectrumAxis("ir", 600, 4000, 2, "cm^-1")
    with pytest.raises(ValueError, match='must not exceed 2: pass y_unit="percent_transmittance"'):
        read_jcamp(published / "ethanol2.jdx", axis)
    absorbance = read_jcamp(published / "ethanol2.jdx", axis, y_unit="percent_transmittance")[0]
    # Ethanol: C-O stretch near 1050, C-H near 2970, O-H near 3350 cm^-1; nothing around 2200.
    at = {position: float(absorbance[round((position - 600) / 2)]) for position in (1050, 2200, 2972, 3350)}
    assert at[2200] < 0.1 < min(at[1050], at[2972], at[3350])


def test_a_damaged_count_does_not_fill_the_memory():
    with pytest.raises(ValueError, match="'S999999999', 1999999999 equal values|equal values"):
        parse_line("1000A0S999999999")


def test_lines_end_where_lines_end(tmp_path):
    path = tmp_path / "some.csv"
    path.write_bytes("# 5\xb0C, run\x85 1000 99\n1000 2\n2000 3\n".encode("latin-1"))
    axis = SpectrumAxis("some", 1000, 2000, 1000, "cm^-1")
    assert read_spectrum_table(path, axis, x_unit="cm^-1").tolist() == [[2.0, 3.0]]
