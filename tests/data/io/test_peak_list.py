"""Lists of peaks against sums by hand and SciPy's distribution functions, in each format, and damaged."""

import numpy as np
import pytest
import scipy.stats
import torch

from molspectra.data import IR, SpectrumAxis, read_peak_list

AXIS = SpectrumAxis("ms", 0, 60, 1, "m/z")
PEAKS = [(15.02, 10.0), (27.0, 20.0), (29.1, 30.0), (31.0, 100.0), (43.0, 5.0), (44.9, 40.0), (46.0, 20.0)]
SCIPY = {
    "gaussian": lambda fwhm: scipy.stats.norm(scale=fwhm / 2.3548200450309493),
    "lorentzian": lambda fwhm: scipy.stats.cauchy(scale=fwhm / 2),
}
TABLE = "m/z,intensity\n" + "".join(f"{x},{y}\n" for x, y in PEAKS)


def jcamp(data, label="PEAK TABLE", form="(XY..XY)", units="M/Z") -> str:
    return (
        f"##TITLE=t\n##JCAMP-DX=4.24\n##DATA TYPE=MASS SPECTRUM\n##XUNITS={units}\n##YUNITS=RELATIVE ABUNDANCE\n"
        f"##XFACTOR=1\n##YFACTOR=1\n##NPOINTS=7\n##{label}={form}\n{data}\n##END=\n"
    )


MSP = "Name: ethanol\nMW: 46\nNum Peaks: 7\n" + "".join(f"{x} {y}\n" for x, y in PEAKS)
MASSBANK = (
    "ACCESSION: X\nPK$ANNOTATION: m/z type\n  15.02 CH3+\nPK$NUM_PEAK: 7\nPK$PEAK: m/z int. rel.int.\n"
    + "".join(f"  {x} {y} {round(9.99 * y)}\n" for x, y in PEAKS)
    + "//\n"
)
FORMATS = {
    "table": TABLE,
    "no header": "".join(f"{x} {y}\n" for x, y in PEAKS),
    "another order": TABLE.splitlines(keepends=True)[0] + "".join(TABLE.splitlines(keepends=True)[:0:-1]),
    "a peak in two parts": TABLE.replace("31.0,100.0", "31.0,60\n31.0,40"),
    "msp": MSP,
    "msp of NIST": "Name: e\nNum peaks: 7\n" + "; ".join(f'{x} {y} "C; 1+"' for x, y in PEAKS) + ";\n\n",
    "mgf": "BEGIN IONS\nTITLE=e\nPEPMASS=47.05 1e5\nCHARGE=1+\n" + MSP.split("Peaks: 7\n")[1] + "END IONS\n",
    "massbank": MASSBANK,
    "jcamp": jcamp("\n".join(f"{x},{y}" for x, y in PEAKS)),
    "jcamp of NIST": jcamp(" ".join(f"{x},{y}" for x, y in PEAKS), "PEAK TABLE", "(XY..XY) 1"),
    "jcamp xydata": jcamp("; ".join(f"{x},{y}" for x, y in PEAKS), "XYDATA"),
}


def write(tmp_path, text):
    (tmp_path / "peaks.txt").write_text(text)
    return tmp_path / "peaks.txt"


@pytest.mark.parametrize("name", FORMATS)
def test_bins(tmp_path, name):
    path = write(tmp_path, FORMATS[name])
    heights = read_peak_list(path, AXIS)
    expected = torch.zeros(1, 61)
    for x, y in PEAKS:
        expected[0, round(x)] += y
    assert torch.equal(heights, expected)
    assert int((heights != 0).sum()) == 7
    fine = SpectrumAxis("ms", 0, 60, 0.5, "m/z")
    areas = read_peak_list(path, fine, conserve="area")
    assert torch.trapezoid(areas[0], dx=0.5) == pytest.approx(225)


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
@pytest.mark.parametrize("fwhm", [0.05, 0.5, 3.0])
def test_lines_that_conserve_area(tmp_path, shape, fwhm):
    spectrum = read_peak_list(write(tmp_path, TABLE), AXIS, shape=shape, fwhm=fwhm, conserve="area")[0].numpy()
    grid = AXIS.grid.numpy()
    low, high = np.maximum(grid - 0.5, 0), np.minimum(grid + 0.5, 60)
    line = SCIPY[shape](fwhm)
    expected = sum(y * (line.cdf(high - x) - line.cdf(low - x)) for x, y in PEAKS) / (high - low)
    np.testing.assert_allclose(spectrum, expected, rtol=1e-5, atol=1e-5)
    on_the_axis = sum(y * (line.cdf(60 - x) - line.cdf(-x)) for x, y in PEAKS)
    assert np.trapezoid(spectrum, grid) == pytest.approx(on_the_axis, rel=1e-5)


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_lines_that_conserve_height(tmp_path, shape):
    spectrum = read_peak_list(write(tmp_path, "m/z,I\n20,100\n"), AXIS, shape=shape, fwhm=4.0)[0]
    assert float(spectrum.max()) == float(spectrum[20]) == pytest.approx(100)
    assert float(spectrum[18]) == pytest.approx(50)
    many = read_peak_list(write(tmp_path, TABLE), AXIS, shape=shape, fwhm=4.0)[0].numpy()
    line = SCIPY[shape](4.0)
    expected = sum(y * line.pdf(AXIS.grid.numpy() - x) / line.pdf(0) for x, y in PEAKS)
    np.testing.assert_allclose(many, expected, rtol=1e-5)


def test_units_of_positions(tmp_path):
    path = write(tmp_path, "wavelength (um),intensity\n5,1\n10,2\n")
    spectrum = read_peak_list(path, IR)[0]
    assert {int(IR.grid[k]): float(spectrum[k]) for k in spectrum.nonzero().flatten()} == {2000: 1.0, 1000: 2.0}
    assert torch.equal(read_peak_list(write(tmp_path, "5 1\n10 2\n"), IR, x_unit="um")[0], spectrum)
    euro = write(tmp_path, "nm;Intensität\n5000,0;1,0\n10000,0;2,0\n")
    assert torch.equal(read_peak_list(euro, IR, decimal=",")[0], spectrum)


def test_peaks_beyond_the_axis(tmp_path):
    path = write(tmp_path, "m/z,I\n20,1\n75,1\n")
    with pytest.raises(ValueError, match="line 3: peaks must lie on the axis 'ms', 0 to 60 m/z; got one at 75 m/z"):
        read_peak_list(path, AXIS)
    assert read_peak_list(path, AXIS, outside="cut").sum() == 1
    tail = read_peak_list(path, AXIS, shape="lorentzian", fwhm=2.0, conserve="area", outside="cut")[0, -1]
    assert float(tail) > 1 / (np.pi * 15**2)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "must hold at least one peak; found none"),
        ("m/z,I\n20,nan\n", "line 2: position and value must be finite"),
        ("m/z,I\n20,x\n", "line 2: expected numbers in columns 0 and 1"),
        ("m/z,%T\n20,50\n", "peaks must have heights or areas; the file says '%T'"),
        ("nm,I\n20,50\n", r"x_unit must be the unit of the axis \('m/z' of 'ms'\).*; got 'nm'"),
        ("m/z,I\n200,50\n300,1\n", "must overlap with the axis 'ms': the file spans 200 to 300 m/z, the axis 0 to 60"),
        ("I,m/z\n20,50\n", "y_column=1 must be a column of intensities; its header says 'm/z'"),
        (MSP.replace("Peaks: 7", "Peaks: 8"), "must hold 8 peaks, as it says itself; found 7"),
        (MSP.replace("31.0 100.0", "31.0"), "line 7: expected a position and an intensity; got '31.0'"),
        (MSP.replace("31.0 100.0", "31,0 100,0"), "line 7: numbers must have decimal points"),
        (MSP + "\n" + MSP, "line 14: expected one spectrum; got another"),
        (FORMATS["mgf"] * 2, "expected one spectrum; got another"),
        (MSP.replace("29.1", "\n29.1").replace("Peaks: 7", "Peaks: 2"), "line 7: expected nothing after the end"),
        (MASSBANK.replace("PEAK: 7", "PEAK: 6"), "must hold 6 peaks"),
        (jcamp("15,1 27,2"), "must hold 7 points, as its NPOINTS says; found 2"),
        (jcamp("15,1,2", form="(XYW..XYW)"), r"must hold its peaks as \(XY..XY\); got 'XYW..XYW'"),
        (jcamp("15 1 2", "XYDATA", "(X++(Y..Y))"), "Read curves with read_jcamp"),
        (jcamp("15,0;1,0"), "must hold 7 points|decimal commas"),
        (jcamp("15,1\n##PEAK TABLE=(XY..XY)\n15,1"), "expected one spectrum; got another"),
        ("\x00", "zero bytes"),
        ("1,43.0,100\n2,58.1,45\n3,15.0,30\n", "the numbers 1, 2, 3, … to 3 look like those of rows. Pass x_column"),
        ("0 43\n1 58\n2 15\n", "the numbers 0, 1, 2, … to 2 look like those of rows"),
        ("100,15\n45,29\n70,31\n", r"the first looks like intensities \(at most 100, in no order\).* x_column=1"),
        ("m/z,I\n-0.4,3\n43,100\n", "line 2: positions in m/z must not be negative"),
        (MSP.replace("15.02", "-15.02"), "line 4: positions in m/z must not be negative"),
        (MSP.replace("10.0", "-10.0"), "line 4: intensities of a mass spectrum must not be negative; got -10"),
        (MSP.replace("10.0", "nan"), "line 4: expected a position and an intensity; got '15.02 nan'"),
        (MSP.replace("10.0", "1e400"), "line 4: expected a position and an intensity; got '15.02 1e400'"),
        (jcamp("15,1").replace("RELATIVE ABUNDANCE", "% TRANSMITTANCE").replace("=7", "=1"), "heights or areas"),
        ("# mass to charge in nm\n# a\n# b\n# c\n20 3\n", "the header must say above the column of positions"),
    ],
)
def test_clear_errors(tmp_path, text, match):
    with pytest.raises(ValueError, match=match):
        read_peak_list(write(tmp_path, text), AXIS)


def test_a_unit_takes_doubtful_positions_as_they_are(tmp_path):
    for text in ("1,5\n2,3\n3,2\n", "100,15\n45,29\n70,31\n"):
        assert read_peak_list(write(tmp_path, text), SpectrumAxis("ms", 0, 200, 1, "m/z"), x_unit="m/z").sum() > 9
    first = read_peak_list(write(tmp_path, "a,b\n1,5\n2,-3\n"), SpectrumAxis("nmr", 0, 5, 1, "ppm"))
    assert first.tolist() == [[0, 5, -3, 0, 0, 0]]  # signals of NMR may be negative


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"shape": "voigt"}, 'shape must be "bins", "gaussian" or "lorentzian"'),
        ({"conserve": "sum"}, 'conserve must be "height" or "area"'),
        ({"outside": "zero"}, 'outside must be "raise" or "cut"'),
        ({"fwhm": 1.0}, "fwhm is for lines; got 1.0 with shape="),
        ({"shape": "gaussian"}, r"fwhm must be positive and finite \(m/z\) for lines; got None"),
        ({"shape": "gaussian", "fwhm": 0.5}, "fwhm must be at least the step of the axis, 1 m/z.* to show the height"),
        ({"x_column": 1}, "two different columns"),
    ],
)
def test_refused_arguments(tmp_path, arguments, match):
    with pytest.raises(ValueError, match=match):
        read_peak_list(write(tmp_path, TABLE), AXIS, **arguments)
