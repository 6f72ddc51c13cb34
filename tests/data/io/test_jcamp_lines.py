"""Lines of JCAMP-DX that begin elsewhere than their points: read where no point is missing, refused otherwise."""

import numpy as np
import pytest

from molspectra.data import SpectrumAxis, read_jcamp

FIRST, STEP, POINTS = 574.928, 0.2411, 60
Y = np.arange(POINTS) % 17 + 1
NMR = SpectrumAxis("nmr_h", 0, 12, 0.01, "ppm")


def jcamp(lines, points=POINTS, **labels) -> str:
    known = {
        "TITLE": "test",
        "JCAMP-DX": "4.24",
        "XUNITS": "cm-1",
        "YUNITS": "(micromol/mol)-1m-1 (base 10)",
        "FIRSTX": f"{FIRST:.3f}",
        "LASTX": f"{FIRST + STEP * (points - 1):.4f}",
        "NPOINTS": str(points),
        "XFACTOR": "1",
        "YFACTOR": "0.5",
    } | {label.replace("_", " "): value for label, value in labels.items()}
    form = known.pop("XYDATA", "(X++(Y..Y))")
    labels = [f"##{label}={value}" for label, value in known.items() if value is not None]
    return "\n".join([*labels, f"##XYDATA={form}", *lines, "##END=", ""])


def lines(shift=0, from_line=1, per_line=6, y=Y, position=lambda k: f"{FIRST + STEP * k:.2f}") -> list[str]:
    """Lines whose positions are shifted by whole steps, from one line on."""
    starts = range(0, len(y), per_line)
    return [
        " ".join([position(k + shift * (i >= from_line)), *map(str, y[k : k + per_line])]) for i, k in enumerate(starts)
    ]


def axis(points=POINTS) -> SpectrumAxis:
    return SpectrumAxis("ir", FIRST, FIRST + STEP * (points - 1), STEP, "cm^-1")


@pytest.fixture
def write(tmp_path):
    def writer(text):
        (tmp_path / "a.jdx").write_text(text)
        return tmp_path / "a.jdx"

    return writer


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize("from_line", [0, 1])
def test_a_constant_step_is_read_with_a_warning(write, shift, from_line):
    path = write(jcamp(lines(shift, from_line)))
    with pytest.warns(UserWarning, match=r"the positions of its lines are [+-]0.2[34]\d* from where FIRSTX"):
        read = read_jcamp(path, axis())
    np.testing.assert_allclose(read[0].numpy(), Y / 2, rtol=1e-4)


def test_the_lines_of_the_public_collection(write):
    """Its first line, 574.93, has six values, and 576.13 follows where 576.37 would."""
    shifted = lines(-1)
    assert [line.split()[0] for line in shifted[:2]] == ["574.93", "576.13"]
    assert len(shifted[0].split()) == 7
    with pytest.warns(UserWarning, match="No point is missing by NPOINTS"):
        read = read_jcamp(write(jcamp(shifted)), axis())
    np.testing.assert_allclose(read[0].numpy(), Y / 2, rtol=1e-4)


@pytest.mark.parametrize(
    ("damaged", "match"),
    [
        (lines(-1)[:4] + lines(-1)[5:], "line 12: the line must begin at .*Points are missing"),  # a line is missing
        (lines(-1)[:-1], "line 12: the line must begin at"),
        (lines(-1)[:1] + [lines(-1)[1].rsplit(" ", 1)[0]] + lines(-1)[2:], "the line must begin at"),  # a value
        (lines(-1, from_line=4), "line 15: the line must begin at"),  # not from the beginning on
        (lines(-2), "line 12: the line must begin at"),
        (lines(-1)[:5] + [lines(-1)[5].replace("58", "59", 1)] + lines(-1)[6:], "line 16: the line must begin at"),
        (lines(-1)[:5] + [lines(-1)[6], lines(-1)[5]] + lines(-1)[7:], "line 16: the line must begin at"),  # swapped
    ],
)
def test_missing_and_damaged_lines_are_refused(write, damaged, match):
    with pytest.raises(ValueError, match=match):
        read_jcamp(write(jcamp(damaged)), axis())


def test_a_constant_step_without_the_number_of_points_proves_nothing(write):
    with pytest.raises(ValueError, match="line 11: the line must begin at"):
        read_jcamp(write(jcamp(lines(-1), NPOINTS=None, LASTX=None, DELTAX=str(STEP))), axis())


SHIFTS = 11.0 - 0.02 * np.arange(500)
PEAK = 1 + np.round(900 * np.exp(-(((SHIFTS - 7.26) / 0.2) ** 2))).astype(int)


@pytest.mark.parametrize("first_number", [0, 1])
@pytest.mark.parametrize("falling", [True, False])
@pytest.mark.parametrize("unit", ["PPM", "HZ"])
def test_lines_of_nmr_programs_count_points(write, first_number, falling, unit):
    frequency = 400.13
    position = (lambda k: str(499 - k + first_number)) if falling else (lambda k: str(k + first_number))
    positions = SHIFTS if unit == "PPM" else (SHIFTS - 3) * frequency  # 0 Hz is anywhere
    labels = {
        "XUNITS": unit,
        "YUNITS": "ARBITRARY UNITS",
        "YFACTOR": "1",
        "FIRSTX": f"{positions[0]:.6f}",
        "LASTX": f"{positions[-1]:.6f}",
        ".OBSERVE FREQUENCY": str(frequency),
        ".SHIFT REFERENCE": "INTERNAL, CDCl3, 1, 11.0",
    }
    path = write(jcamp(lines(y=PEAK, per_line=9, position=position), 500, **labels))
    expected = np.interp(NMR.grid.numpy(), SHIFTS[::-1], PEAK[::-1], left=np.nan, right=np.nan)
    np.testing.assert_allclose(read_jcamp(path, NMR)[0].numpy(), expected, atol=0.05)


@pytest.mark.parametrize(
    ("labels", "position", "match"),
    [
        ({"LASTX": "589.1529", "FIRSTX": "574.928"}, lambda k: str(59 - k), "line 11: the line must begin at"),
        ({}, lambda k: str(k + 7), "line 11: the line must begin at"),
        ({}, lambda k: str(k + (k > 30)), "line 11: the line must begin at"),
        ({"NPOINTS": "61"}, str, "line 11: the line must begin at"),
    ],
)
def test_counts_that_do_not_add_up_are_refused(write, labels, position, match):
    with pytest.raises(ValueError, match=match):
        read_jcamp(write(jcamp(lines(position=position), **labels)), axis())


def test_hertz_need_a_reference(write):
    hertz = {"XUNITS": "HZ", "YUNITS": "ARBITRARY UNITS", "FIRSTX": "4000", "LASTX": "100", ".OBSERVE FREQUENCY": "400"}
    counted = lines(position=str)
    for reference in (None, "INTERNAL, CDCl3, 0, 10", "INTERNAL, CDCl3", "INTERNAL, CDCl3, 1, ?"):
        with pytest.raises(ValueError, match=r"must have a shift reference for its positions in Hz to become ppm"):
            read_jcamp(write(jcamp(counted, **hertz, **{".SHIFT REFERENCE": reference})), NMR)
    without = hertz | {".OBSERVE FREQUENCY": None}
    with pytest.raises(ValueError, match=r"must have a number as ##.OBSERVEFREQUENCY=; it is missing"):
        read_jcamp(write(jcamp(counted, **without, **{".SHIFT REFERENCE": "INTERNAL, CDCl3, 1, 10"})), NMR)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            jcamp(["1000,5 0,1 0,2", "1002,5 0,3 0,4"], 4),
            r"line 11: numbers must have decimal points; got deci",
        ),
        (jcamp(["1000,5A0J0k0"], 3), "line 11: numbers must have decimal points"),
        (jcamp(["1000,5+12+13"], 2), "line 11: numbers must have decimal points"),
        (jcamp(["1000,5;0,1"], 2), "line 11: numbers must have decimal points"),
        (jcamp(["1000,5 0,1", "1001,5 0,2"], 2, XYDATA="(XY..XY)"), "line 11: numbers must have decimal points"),
        (jcamp(["1000,5; 0,1; 1001,5; 0,2"], 2, XYDATA="(XY..XY)"), "line 11: numbers must have decimal points"),
        (jcamp(["1000,5;1"], 1, XYDATA="(XY..XY)"), "line 11: numbers must have decimal points"),
        (jcamp(lines(), FIRSTX="574,928"), "must have a number as ##FIRSTX=; got '574,928', with a decimal comma"),
        (jcamp(lines(), YFACTOR="0,001"), "must have a number as ##YFACTOR=; got '0,001', with a decimal comma"),
        (jcamp(lines(), YFACTOR="0"), "must have a YFACTOR that is not 0"),
        (jcamp(lines(), YUNITS="%T", YFACTOR="0.01"), r"in percent, as the file says \('%T'\), must exceed"),
        (jcamp(lines(), YUNITS="ABSORBANCE", YFACTOR="5"), r"absorbance, as the file says \('ABSORBANCE'\), must lie"),
        (jcamp(lines(), XUNITS="NANOMETERS"), r"spans 574.928 to 589.153 nm, the axis .* did you mean x_unit='cm\^-1'"),
        (
            jcamp(["15,10", "27,20", "29,99", "31,40", "43,1"], 5, XYDATA="(XY..XY)", XUNITS="M/Z"),
            "must be the unit of",
        ),
        (jcamp(["1000e99999999999 1 2"], 2), "line 11: the line must begin at|position and value must be finite"),
    ],
)
def test_clear_errors(write, text, match):
    with pytest.raises(ValueError, match=match):
        read_jcamp(write(text), axis())


def test_mass_peaks_are_no_curve(write):
    text = jcamp(["15,10 27,20 29,99", "31,40 43,1"], 5, XYDATA="(XY..XY)", XUNITS="M/Z", YUNITS="RELATIVE ABUNDANCE")
    with pytest.raises(ValueError, match="as peaks are. Read them with molspectra.data.read_peak_list"):
        read_jcamp(write(text), SpectrumAxis("ms", 0, 60, 1, "m/z"))


@pytest.mark.parametrize(
    ("labels", "on", "match"),
    [
        ({"DATA TYPE": "RAMAN SPECTRUM"}, axis(), "of the kind of the axis 'ir'; its DATA TYPE is 'RAMAN SPECTRUM'"),
        ({"DATA TYPE": "INFRARED SPECTRUM"}, SpectrumAxis("raman", 575, 588, 0.5, "cm^-1"), "DATA TYPE is 'INFRARED"),
        ({"XUNITS": "NANOMETERS"}, SpectrumAxis("raman", 575, 588, 0.5, "cm^-1"), "Raman shifts are differences"),
        (
            {".OBSERVE NUCLEUS": "^13C", "XUNITS": "PPM"},
            SpectrumAxis("nmr_h", 575, 588, 0.5, "ppm"),
            "the nucleus of the axis 'nmr_h'; its .OBSERVE NUCLEUS is '\\^13C'",
        ),
        ({"TITLE": "a\n##YFACTOR=0.25"}, axis(), "line 10: expected ##YFACTOR= once; got '0.5' after '0.25'"),
    ],
)
def test_files_of_another_kind_are_refused(write, labels, on, match):
    with pytest.raises(ValueError, match=match):
        read_jcamp(write(jcamp(lines(), **labels)), on)


def test_the_nucleus_of_the_axis(write):
    text = jcamp(lines(), **{".OBSERVE NUCLEUS": "^13C", "XUNITS": "PPM", "DATA TYPE": "NMR SPECTRUM"})
    for name in ("c_nmr", "nmr", "hsqc"):
        assert read_jcamp(write(text), SpectrumAxis(name, 575, 588, 0.5, "ppm")).isfinite().all()
