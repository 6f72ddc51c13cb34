"""Spectra from JCAMP-DX files."""

import re
from pathlib import Path

from jaxtyping import Float32
from torch import Tensor

from molspectra._validation import check_choice, checked
from molspectra.data.io.declared_units import Declared
from molspectra.data.io.jcamp_file import JCAMPFile, read_jcamp_file
from molspectra.data.io.jcamp_lines import read_equidistant
from molspectra.data.io.jcamp_pairs import check_number_of_points, read_pairs
from molspectra.data.io.jcamp_shifts import chemical_shifts
from molspectra.data.io.measured_spectrum import is_raman
from molspectra.data.io.spectrum_units import position_unit, value_kind
from molspectra.spectra.axis import SpectrumAxis, check_axis
from molspectra.spectra.resampling import OUTSIDE

# Parts of the names of axes → nucleus.
_NUCLEI = {**dict.fromkeys(("h", "1h", "proton"), "h"), **dict.fromkeys(("c", "13c", "carbon"), "c")}


@checked
def read_jcamp(
    path: str | Path,
    axis: SpectrumAxis,
    *,
    x_unit: str | None = None,
    y_unit: str | None = None,
    min_transmittance: float | None = None,
    outside: str = "nan",
    conserve_area: bool = False,
) -> Float32[Tensor, "1 length"]:
    """Read a spectrum from a JCAMP-DX file, and resample it to an axis.

    Reads XYDATA=(X++(Y..Y)), in all its forms (AFFN, PAC, SQZ, DIF, DUP), and XYDATA or XYPOINTS=(XY..XY), after R. S.
    McDonald and P. A. Wilks, Appl. Spectrosc. 42, 151 (1988). Damage is found by the checks of the format: the number
    of points, the position at the beginning of each line, the value that differences must arrive at by the next line,
    and ##END=. Lines may begin with the number of a point, as those of NMR programs do. FIRSTY, MAXY and similar labels
    are not checked, as programs often write them wrong.

    Args:
        path: A file with one spectrum.
        axis: The axis wanted.
        x_unit: Unit of the positions, instead of the file's XUNITS: "cm^-1", "nm", "um" or "eV", which are converted
            into one another, or any unit, if it is the unit of the axis. Hz become ppm by the labels .OBSERVE FREQUENCY
            and .SHIFT REFERENCE.
        y_unit: "absorbance", "transmittance" (converted to absorbance, -log10 T), "percent_transmittance" (likewise) or
            "intensity", instead of the file's YUNITS. Many files call percents TRANSMITTANCE: they are refused with
            the advice to pass "percent_transmittance".
        min_transmittance: Raise transmittances below this fraction to it, instead of refusing those of 0 or less.
        outside: Value where nothing was measured: "nan", a gap that :class:`~molspectra.spectra.SpecFormer` leaves out,
            "zero", or "raise", an error. See :func:`~molspectra.data.read_spectrum_table`.
        conserve_area: Average over the bins of the axis instead of interpolating. See there, too.

    Returns:
        Absorbance or intensity on the axis, (1, L) float32: the field of a molecule.

    Warns:
        UserWarning: all lines begin one step from where the points above them end, and no point is missing.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: `axis` is no SpectrumAxis.
        ValueError: it is damaged or truncated, holds no curve or several, has unknown units or ones that contradict the
            values, is of another kind than the axis, or does not overlap with it. The message names the file, the line
            and the remedy.

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
        tensor([[0.1000, 0.2000, 0.0000,    nan]])
    """
    check_axis("axis", axis)
    check_choice("outside", outside, OUTSIDE)
    file = read_jcamp_file(Path(path))
    if file.form == "X++Y..Y":
        spectrum = read_equidistant(file)
    elif file.form == "XY..XY":
        spectrum = read_pairs(file)
    else:
        raise ValueError(f"{path} must hold its curve as (X++(Y..Y)) or (XY..XY); got {file.form!r}. Export it anew.")
    check_number_of_points(file, len(spectrum.positions))
    spectrum.check()
    if x_unit is None:
        _check_kind(file, axis)
    declared = Declared(spectrum, axis, "file")
    x_unit = declared.x_unit(x_unit, "" if x_unit else file.unit("XUNITS", position_unit))
    if x_unit == "Hz" and axis.unit == "ppm":
        spectrum.positions, x_unit = chemical_shifts(file, spectrum.positions), "ppm"
    y_unit = declared.y_unit(y_unit, "" if y_unit else file.unit("YUNITS", value_kind), min_transmittance)
    return spectrum.on_axis(axis, x_unit, y_unit, min_transmittance, outside, conserve_area)


def _check_kind(file: JCAMPFile, axis: SpectrumAxis) -> None:
    """Refuse Raman shifts as infrared wavenumbers, and shifts of another nucleus, whose units are the same.

    Raises:
        ValueError: the file says that it is of another kind than the axis.
    """
    kind, name = file.labels.get("DATATYPE", "").lower(), axis.name.lower()
    wrong = ("raman" in kind and name in ("ir", "infrared")) or ("infrared" in kind and is_raman(axis))
    if wrong:
        raise ValueError(
            f"{file.path} must be of the kind of the axis {axis.name!r}; its DATA TYPE is {kind.upper()!r}. Pass "
            "another axis, such as molspectra.data.IR or molspectra.data.RAMAN, or x_unit to take it as it is."
        )
    nucleus = re.sub(r"[^a-z]", "", file.labels.get(".OBSERVENUCLEUS", "").lower())
    named = {_NUCLEI[part] for part in re.split(r"[\W_]+", name) if part in _NUCLEI}
    if axis.unit == "ppm" and nucleus and named and nucleus not in named:
        raise ValueError(
            f"{file.path} must hold shifts of the nucleus of the axis {axis.name!r}; its .OBSERVE NUCLEUS is "
            f"{file.labels['.OBSERVENUCLEUS']!r}. Pass another axis, or x_unit."
        )
