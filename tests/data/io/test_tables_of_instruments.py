"""Text files as instruments and programs write them: the right values, or an error that says what to pass."""

import warnings

import numpy as np
import pytest
from scipy import constants

from molspectra.data import IR, RAMAN, UV_VIS, SpectrumAxis, read_jcamp, read_peak_list, read_spectrum_table

X = np.arange(4050.0, 440.0, -10.0)
A = 0.05 + 0.9 * np.exp(-(((X - 1700) / 60) ** 2)) + 0.4 * np.exp(-(((X - 2950) / 90) ** 2))
T = 10**-A
NM = np.arange(195.0, 830.0, 2.5)
UV = 0.8 * np.exp(-(((NM - 265) / 25) ** 2))
PPM = np.arange(12.5, -0.5, -0.01)
NMR = SpectrumAxis("nmr_h", 0, 12, 0.02, "ppm")
MASS = SpectrumAxis("ms", 0, 60, 1, "m/z")


def rows(x=X, y=A, form="{:.10g},{:.10g}", comma=False) -> str:
    text = "".join(form.format(a, b) + "\n" for a, b in zip(x, y, strict=True))
    return text.replace(".", ",") if comma else text


def interpolated(x, y, axis) -> np.ndarray:
    order = np.argsort(x)
    return np.interp(axis.grid.numpy(), np.asarray(x)[order], np.asarray(y)[order], left=np.nan, right=np.nan)


INFRARED = interpolated(X, A, IR)
ULTRAVIOLET = interpolated(constants.h * constants.c / (NM * 1e-9 * constants.e), UV, UV_VIS)
TAB, SEMICOLON, SPACES = "{:.10g}\t{:.10g}", "{:.10g};{:.10g}", "   {:.10g}   {:.10g}"

OCEAN = (
    "SpectraSuite Data File\n++++++++++\nDate: Mon Jan 05 10:33:05 2026\nIntegration Time (usec): 100000 (USB2000)\n"
    "Number of Pixels in Processed Spectrum: 254\n>>>>>Begin Processed Spectral Data<<<<<\n"
    + rows(NM, UV, TAB)
    + ">>>>>End Processed Spectral Data<<<<<\n"
)
JASCO = (
    "TITLE\t\nDATA TYPE\tINFRARED SPECTRUM\nORIGIN\tJASCO\nDATE\t12/05/20\nTIME\t10:00:00\nXUNITS\t1/CM\nYUNITS\t%T\n"
    "FIRSTX\t4050\nXYDATA\n"
    + rows(X, 100 * T, TAB)
    + "\n##### Extended Information\n[Comments]\nSample name\tacetone\n[Measurement Information]\nAccumulation\t16\n"
)
CARY = (
    "Sample1,,\nWavelength (nm),Abs,\n"
    + rows(NM, UV, "{:.10g},{:.10g},")
    + "\nSample1\nCollection Time: 1/5/2026\nScan Rate (nm/min),600.0\n\nMethod: scan\n"
)

# Numbers stand above the data, and the last part of the header names the two units.
PERKIN_ELMER = (
    "PE IR       SUBTECH     SPECTRUM    ASCII       PEDS 4.00\n-1\nacetone.sp\n26/01/05\n10:33:05.00\nname\n\n0\n"
    "#HDR\n4050.000000\n450.000000\n#GR\n{}\n{}\n1.000000\n0.000000\n-10.000000\n361\n#DATA\n"
)
HORIBA = "#Acq. time (s)=\t10\n#AxisUnit[0]=\t{}\n#AxisType[1]=\tSpectr\n#AxisUnit[1]=\t{}\n#Laser (nm)=\t532\n"


@pytest.mark.parametrize(
    ("text", "axis", "arguments"),
    [
        ("cm-1,%T\n" + rows(X, 100 * T), IR, {}),
        ("Wavenumber (cm-1),Transmittance [%]\n" + rows(X, 100 * T), IR, {}),
        ("Wavenumbers / cm⁻¹;T / %\n" + rows(X, 100 * T, SEMICOLON), IR, {}),
        ("sep=;\nWellenzahl [1/cm];Transmission [%]\n" + rows(X, 100 * T, SEMICOLON, comma=True), IR, {"decimal": ","}),
        ("wavenumber\ttransmittance\n" + rows(X, T, TAB), IR, {}),
        ("Wavenumber\tTransmittance\ncm-1\t%\n\tacetone\n" + rows(X, 100 * T, TAB), IR, {}),
        ("# Wavenumber (cm-1)   Transmittance (%)\n" + rows(X, 100 * T, SPACES), IR, {}),
        ("% created by a script\n" + rows(), IR, {}),
        ("# resolution 4 cm-1, laser 633 nm\n" + rows(), IR, {}),
        ("cm-1,A\n" + rows(), IR, {}),
        ("wavelength (um),Abs\n" + rows(1e4 / X), IR, {}),
        ("µm\tAbs.\n" + rows(1e4 / X, A, TAB), IR, {}),
        ('\ufeff"Wavenumber","A"\r\n' + rows(form='"{:.10g}","{:.10g}"').replace("\n", "\r\n"), IR, {}),
        (rows(form="\t{:.10g}\t{:.10g}\t0.5"), IR, {"x_column": 1, "y_column": 2}),
        (rows(form="\t{:.10g}\t{:.10g}\t0.5"), IR, {"x_column": 1, "y_column": 2, "delimiter": "\t"}),
        (",wavenumber,A\n" + rows(form="0,{:.10g},{:.10g}"), IR, {"x_column": 1, "y_column": 2}),
        ("cm-1;%T\n" + rows(), IR, {"y_unit": "absorbance"}),
        ("12.05.2020\t10:33:05\n05/12/2020 10:33\n-----\n" + rows(form=TAB), IR, {}),
        (rows(), SpectrumAxis("ir", 500, 4000, 1, "cm-1"), {}),
        (rows(), IR, {"x_unit": "1/cm"}),
        (JASCO, IR, {}),
        ("Wavelength (nm),Absorbance\n" + rows(NM, UV), UV_VIS, {}),
        ("λ/nm A\n" + rows(NM, UV, SPACES), UV_VIS, {}),
        ("Laser;532 nm\nWavelength;Extinktion\nnm;\n" + rows(NM, UV, SEMICOLON), UV_VIS, {}),
        ('"Ethanol - RawData"\n"Wavelength nm.","Abs."\n' + rows(NM, UV), UV_VIS, {}),
        (OCEAN, UV_VIS, {"x_unit": "nm"}),
        (CARY, UV_VIS, {}),
        (PERKIN_ELMER.format("CM-1", "%T") + rows(X, 100 * T, TAB), IR, {}),
        (PERKIN_ELMER.format("NM", "A") + rows(NM, UV, TAB), UV_VIS, {}),
        (HORIBA.format("Abs", "1/cm") + rows(X, A, TAB), IR, {}),
        (HORIBA.format("%T", "nm") + rows(NM, 100 * 10**-UV, TAB), UV_VIS, {}),
        ("TITLE,\nXUNITS,1/CM\nYUNITS,%T\nNPOINTS,361\nXYDATA\n" + rows(X, 100 * T), IR, {}),
        ("[Header]\nScans\t16\nX Unit\t1/cm\nY Unit\t%T\n1 2\n[Data]\n" + rows(X, 100 * T, TAB), IR, {}),
        ("# x: wavenumber [cm-1]\n# y: transmittance [%]\n" + rows(X, 100 * T), IR, {}),
        ("# Column 1: wavelength (nm)\n# Column 2: absorbance\n" + rows(NM, UV), UV_VIS, {}),
        ("# col 0: wavelength (nm)\n# col 1: transmittance\n# a\n# b\n" + rows(NM, 10**-UV), UV_VIS, {}),
        (rows(X, T) + "\n[Comments]\nXUNITS\t1/CM\nYUNITS\tTRANSMITTANCE\n", IR, {}),
        ("XAxis mode: Wavelengths\nX: 12.5\n>>>>>Begin Data<<<<<\n" + rows(NM, UV), UV_VIS, {"x_unit": "nm"}),
        ("acetone (neat)\n" + rows(), IR, {}),
        ("wavenumber_cm-1,T_percent\n" + rows(X, 100 * T), IR, {}),
        ("rel. 1/cm;Abs\n" + rows(X, A, SEMICOLON), IR, {}),
        ("Time: 12 s\nIntegration time\n" + rows(), IR, {}),
    ],
)
def test_right_values(tmp_path, text, axis, arguments):
    path = tmp_path / "spectrum.txt"
    path.write_bytes(text.encode())
    spectrum = read_spectrum_table(path, axis, **arguments)[0]
    expected = ULTRAVIOLET if axis is UV_VIS else INFRARED
    np.testing.assert_allclose(spectrum.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "spectrum.txt").write_bytes(("µm\tAbs.\n" + rows(1e4 / X, A, TAB)).encode(encoding))
    np.testing.assert_allclose(read_spectrum_table(tmp_path / "spectrum.txt", IR)[0].numpy(), INFRARED, atol=2e-6)


@pytest.mark.parametrize("read", [read_spectrum_table, read_jcamp, read_peak_list])
def test_folders_are_refused(tmp_path, read):
    with pytest.raises(ValueError, match="must be a file; it is a folder"):
        read(tmp_path, IR)


def test_arbitrary_intensities_need_no_name(tmp_path):
    counts = 1e4 * A
    (tmp_path / "raman.txt").write_text(rows(X, counts, TAB))
    read = read_spectrum_table(tmp_path / "raman.txt", RAMAN)[0]
    np.testing.assert_allclose(read.numpy(), interpolated(X, counts, RAMAN), rtol=1e-5)
    lines = 1e6 * np.exp(-(((PPM - 7.26) / 0.1) ** 2)) - 100.0  # descending, with a negative baseline
    (tmp_path / "nmr.csv").write_text("ppm,\n" + rows(PPM, lines))
    read = read_spectrum_table(tmp_path / "nmr.csv", NMR)[0]
    np.testing.assert_allclose(read.numpy(), interpolated(PPM, lines, NMR), rtol=1e-5, atol=1)


@pytest.mark.parametrize(
    ("text", "axis", "match"),
    [
        (rows(X, 100 * T), IR, "line 1: the header names no kind of values, and absorbance must lie within ±10; got 8"),
        ("cm-1,Abs\n" + rows(X, 100 * T), IR, r"line 2: absorbance, as the header says \('Abs'\), must lie within ±10"),
        ("cm-1,T\n" + rows(X, 100 * T), IR, 'must not exceed 2: pass y_unit="percent_transmittance"'),
        ("cm-1,%T\n" + rows(X, T), IR, r"in percent, as the header says \('%T'\), must exceed 1.5 .*\"transmittance\""),
        ("cm-1,%R\n" + rows(X, 100 * T), IR, "must name absorbance, transmittance or an intensity; got '%R'"),
        ("nm,log(1/R)\n" + rows(NM, UV), UV_VIS, r"got 'log\(1/R\)'. Convert the values, or pass y_unit=\"intensity\""),
        ("nm,Logarithm epsilon\n" + rows(NM, UV), UV_VIS, "got 'Logarithm epsilon'"),
        ("A,cm-1\n" + rows(A, X), IR, "its header says 'cm-1'.* Pass x_column=1, y_column=0"),
        ("nm,mAU\n" + rows(NM, 1000 * UV), UV_VIS, "got 'mAU'"),
        (rows(NM, UV), UV_VIS, "spans 195 to 827.5 eV, the axis 1.5 to 13.5 eV; did you mean x_unit='nm'?"),
        (OCEAN, UV_VIS, "did you mean x_unit='nm'?"),
        (rows(1e4 / X), IR, "the axis 500 to 4000 cm\\^-1; did you mean x_unit='um'?"),
        (rows(X / 8065.544), IR, "did you mean x_unit='eV'?"),
        (rows(X), SpectrumAxis("nir", 2500, 20000, 10, "nm"), r"did you mean x_unit='cm\^-1'?"),
        ("nm,A\n" + rows(NM, UV), IR, r"must overlap with the axis 'ir': the file spans 195 to 827.5 nm.* pass x_unit"),
        ("wavelength,A\n" + rows(NM, UV), UV_VIS, "must name the unit of wavelength; got 'wavelength'.*'nm' or 'um'"),
        ("Energy,A\n" + rows(X), IR, "must name the unit of energy; got 'Energy'. Pass x_unit, 'eV'"),
        ("ppm,Intensity\n" + rows(PPM, PPM), IR, r"must be the unit of the axis \('cm\^-1' of 'ir'\).*; got 'ppm'"),
        ("Frequency (kHz),A\n" + rows(), IR, "got 'kHz'"),
        ("Time (min),A\n" + rows(), IR, "got 'min'"),
        ("Hz,Intensity\n" + rows(400 * PPM, PPM), NMR, r"unit of the axis \('ppm' of 'nmr_h'\).* got 'Hz'"),
        ("cm-1 (nm),A\n" + rows(), IR, r"'cm-1 \(nm\)' names more than one unit of positions: \['cm\^-1', 'nm'\]"),
        (rows(form="\t{:.10g}\t{:.10g}\t0.5"), IR, r"in columns \[1, 2, 3\], counted from 0: x_column=1, y_column=2"),
        (
            ",wavenumber,A\n" + rows(form="0,{:.10g},{:.10g}"),
            IR,
            "says 'wavenumber'.* x_column=1, y_column=2",
        ),
        ("nm,counts\n" + rows(NM[140:180], NM[140:180]), RAMAN, "Raman shifts are .*; got positions in nm"),
        ("cm-1,Absorbance or Transmittance\n" + rows(), IR, "got 'Absorbance or Transmittance'"),
        (
            "Mode: Transmission\n" + rows(X, T),
            IR,
            "say whether values are .*; got 'Mode: Transmission'.* Pass y_unit",
        ),
        ("# accessory: transmission\nx,y\n" + rows(X, A), IR, "got 'accessory: transmission', and nothing above"),
        ("index,A\n" + rows(), IR, "must be a column of positions; its header says 'index'"),
        (
            "cm-1,A\n" + rows(comma=True),
            IR,
            "commas must separate columns or be|as many columns as their header",
        ),
        (rows(form="{:.1f},{:.4f}", comma=True), IR, "commas must separate columns or be decimal; got '4050,0,0,0500'"),
        (rows(form=SEMICOLON, comma=True), IR, 'got decimal commas in .*Pass decimal=",", or replace'),
        (rows(form="{:,.1f};{:.4f}"), IR, "line 1: expected numbers in columns 0 and 1; got '4,050.0;0.0500'"),
        (rows(form='"{:,.1f}",{:.4f}'), IR, r"which splits into \['4,050.0', '0.0500'\]"),
        (rows().replace("4050", "4O50"), IR, "line 1: expected numbers"),
        (rows().replace("4040,", "4040,0.1,"), IR, "line 2: lines of points must have equally many columns; got 3"),
        (JASCO + rows(X, 100 * T, TAB), IR, "expected one spectrum; got points again below the text in line"),
        (
            "##JCAMP-DX=4.24\n##XYDATA=(X++(Y..Y))\n1000 1 2\n1002 3 4\n##END=\n",
            IR,
            "Read it with read_jcamp",
        ),
        (
            "m/z,intensity\n15,10\n27,20\n29,30\n31,100\n43,5\n45,40\n46,20\n",
            MASS,
            "as peaks are. Read .*peak_list",
        ),
        ("15 10\n27 20\n29 30\n31 100\n43 5\n45 40\n46 20\n", MASS, "its 7 positions from 15 to 46 are 1 to 12 apart"),
        ("26 1\n27 2\n28 3\n29 3\n30 1\n31 9\n41 1\n42 1\n43 2\n44 1\n45 3\n46 1\n", MASS, "are 1 to 10 apart"),
        ("43 10\n58 100\n", MASS, "as peaks are"),
        ("1050 1\n1715 2\n2950 1\n2980 1\n3400 3\n", IR, "are 30 to 1235 apart, as peaks are"),
        *(
            (f"{name},I\n" + rows(), IR, f"got '{quantity}'")
            for name, quantity in [
                ("2theta", "2theta"),
                ("2θ", "2θ"),
                ("Angle", "angle"),
                ("Time", "time"),
                ("Retention time", "retention"),
                ("Temperature", "temperature"),
                ("Potential/V", "potential"),
                ("Channel", "channel"),
                ("pixel", "pixel"),
            ]
        ),
        ("nm,Temperature,Abs\n" + rows(NM, UV, "{:g},20,{:g}"), UV_VIS, "says 'Temperature'.*x_column=0, y_column=2"),
        (rows(range(4000), np.ones(4000)), IR, r"the numbers 0, 1, 2, … to 3999 look like those of rows"),
        ("".join(f"{i + 1},{x},{a}\n" for i, (x, a) in enumerate(zip(X, A, strict=True))), IR, "like those of rows"),
        ("# wavelength (nm)\n# a\n# b\n# c\n# d\n" + rows(), IR, r"elsewhere, in 'wavelength \(nm\)'. Pass x_unit"),
        ("# Raman\n# nm\n# a\n# b\n# c\n" + rows(), RAMAN, "elsewhere, in 'nm'. Pass x_unit"),
        ("nm,counts\n" + rows(X), RAMAN, "Raman shifts are differences from the wavenumber of the laser"),
        ("Raman shift (cm-1),counts\n" + rows(), IR, "of the kind of the axis 'ir'; its header says 'Raman shift"),
        (rows(X[::-1] - 1000), IR, "line 1: positions in cm\\^-1 must not be negative.* Got -550"),
        (rows(X, T), IR, 'look like transmittance. Pass y_unit, "transmittance" or "absorbance"'),
        (rows(X, 0.95 + 0.05 * T), IR, "look like transmittance"),
        (rows(X, 100 * T) + "\nUNITS\nY %T\n", IR, "got 'Y %T', and nothing above the column of values"),
        ('4050,"0.1\n' + rows(X[1:], A[1:]), IR, "line 1: expected numbers in columns 0 and 1"),
        ("NPOINTS\t400\nXYDATA\n" + rows(), IR, "must hold 400 points, as its header says; found 361"),
        ("cm-1,Abs (x1000)\n" + rows(), IR, r"got 'Abs \(x1000\)'"),
        ("Wavenumber (x1000 cm-1),A\n" + rows(), IR, r"'Wavenumber \(x1000 cm-1\)' has a factor.* Pass x_unit"),
        ("nm-1,A\n" + rows(), IR, r"got 'nm\^-1'"),
        ("1/µm,A\n" + rows(), IR, r"got 'um\^-1'"),
        ("cm-1,Emissivity\n" + rows(), IR, "got 'Emissivity'"),
        (PERKIN_ELMER.format("CM-1", "%R") + rows(X, 100 * T, TAB), IR, "got '%R'"),
        (rows().replace("0.05", "1e400", 1), IR, "line 1: position and value must be finite; got 4050 and inf"),
    ],
)
def test_clear_errors(tmp_path, text, axis, match):
    path = tmp_path / "spectrum.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        read_spectrum_table(path, axis)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"decimal": ";"}, 'decimal must be "." or ",", and not the delimiter; got .;.'),
        ({"decimal": ",", "delimiter": ","}, "decimal must be"),
        ({"min_transmittance": 1e-3}, "must name transmittance for min_transmittance to be used"),
        ({"decimal": ","}, "found some|must hold at least two points|expected numbers"),
    ],
)
def test_refused_arguments(tmp_path, arguments, match):
    (tmp_path / "spectrum.csv").write_text(rows())
    with pytest.raises(ValueError, match=match):
        read_spectrum_table(tmp_path / "spectrum.csv", IR, **arguments)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (rows(X, 0.6 * T), "they look like transmittance. Pass y_unit, .* They are taken for absorbance"),
        (rows(NM[140:180], A[:40]), r"range of 545 to 642.5 covers 3% of the axis 'ir'"),
        (
            rows(NM, UV),
            r"range of 195 to 827.5 covers 9% of the axis 'ir', 500 to 4000 cm\^-1. Pass x_unit",
        ),
    ],
)
def test_warnings_where_the_file_is_mute(tmp_path, text, match):
    (tmp_path / "spectrum.csv").write_text(text)
    with pytest.warns(UserWarning, match=match):
        read_spectrum_table(tmp_path / "spectrum.csv", IR)


def test_curves_with_uneven_points_are_no_peaks(tmp_path):
    """Uniform wavelengths, a change of the step, and some points left out stay curves."""
    for x in (1e4 / np.arange(2.5, 20, 0.01), np.r_[500:1000:1, 1000:4001:4], np.r_[500:2300:2, 2310:4001:2]):
        (tmp_path / "curve.csv").write_text(rows(x, np.cos(x / 100)))
        read = read_spectrum_table(tmp_path / "curve.csv", IR)[0]
        np.testing.assert_allclose(read.numpy(), interpolated(x, np.cos(x / 100), IR), atol=1e-5)
    profile = np.arange(10, 50, 0.01)
    (tmp_path / "profile.csv").write_text("m/z,counts\n" + rows(profile, 1e5 * np.cos(profile) ** 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_spectrum_table(tmp_path / "profile.csv", MASS).nan_to_num().max() > 9e4


@pytest.mark.parametrize("conserve_area", [False, True])
@pytest.mark.parametrize("descending", [False, True])
def test_a_band_cut_out_is_a_gap(tmp_path, descending, conserve_area):
    """No line across the band of a solvent, which nobody measured."""
    x = np.r_[480:2300:2, 2400:4021:2]
    (tmp_path / "curve.csv").write_text(rows(x[::-1] if descending else x, np.ones_like(x)))
    arguments = {"conserve_area": conserve_area, "y_unit": "absorbance"}
    read = read_spectrum_table(tmp_path / "curve.csv", IR, **arguments)[0].numpy()
    inside = (IR.grid.numpy() > 2298) & (IR.grid.numpy() < 2400)
    at_end = np.isin(IR.grid.numpy(), (2298, 2400))  # a bin reaches into the gap, a sample does not
    assert np.isnan(read[inside]).all()
    assert np.isnan(read[at_end]).all() == conserve_area
    np.testing.assert_allclose(read[~inside & ~at_end], 1, rtol=1e-6)
    zero = read_spectrum_table(tmp_path / "curve.csv", IR, outside="zero", **arguments)[0].numpy()
    np.testing.assert_allclose(zero, np.nan_to_num(read), rtol=1e-6)
    with pytest.raises(ValueError, match=r"no gap between points; got none from .* Pass outside="):
        read_spectrum_table(tmp_path / "curve.csv", IR, outside="raise", **arguments)


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ("nm,F(R)\n", r"got 'F\(R\)'"),
        ("nm,Single Beam\n", "got 'Single Beam'"),
        ("nm,Logarithm epsilon\n", "got 'Logarithm epsilon'"),
        ("nm,CD [mdeg]\n", r"got 'CD \[mdeg\]'"),
        ("nm,mOD\n", "got 'mOD'"),
        ("kJ/mol,Abs\n", "got 'kJ/mol'"),
        ("energy_hartree,Abs\n", "got 'Hartree'"),
        ("kK,Abs\n", "got 'kK'"),
    ],
)
def test_other_quantities_are_refused(tmp_path, header, match):
    (tmp_path / "uv.csv").write_text(header + rows(NM, UV))
    with pytest.raises(ValueError, match=match):
        read_spectrum_table(tmp_path / "uv.csv", UV_VIS)


def test_numbers_of_fortran_and_typesetting(tmp_path):
    (tmp_path / "ir.txt").write_text("cm-1\tA\n" + rows(X, A - 0.1, "{:.9E}\t{:.9E}").replace("E", "D"))
    (tmp_path / "minus.txt").write_text("cm-1\tA\n" + rows(X, A - 0.1, TAB).replace("\t-", "\t\u2212"))
    for name in ("ir.txt", "minus.txt"):
        read = read_spectrum_table(tmp_path / name, IR)[0]
        np.testing.assert_allclose(read.numpy(), interpolated(X, A - 0.1, IR), atol=2e-6)
