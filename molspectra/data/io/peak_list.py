"""Lists of peaks: mass spectra, picked bands and shifts, calculated sticks. Between peaks a spectrum is empty."""

from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor

from molspectra._validation import check_choice, checked
from molspectra.data.io.column_headers import column_headers
from molspectra.data.io.declared_units import Declared
from molspectra.data.io.jcamp_pairs import read_jcamp_peaks
from molspectra.data.io.measured_spectrum import MeasuredSpectrum
from molspectra.data.io.peak_records import read_peak_record
from molspectra.data.io.spectrum_units import value_kind
from molspectra.data.io.text import read_lines
from molspectra.data.io.text_table import TableFormat, is_jcamp, read_table
from molspectra.spectra.axis import SpectrumAxis, check_axis
from molspectra.spectra.broadening import broaden
from molspectra.spectra.peaks import average_lines, bin_widths, peak_of_unit_area, sum_in_bins

_BASE_PEAKS = (1.0, 100.0, 999.0, 1000.0)  # customary intensities of the highest peak
_SHAPES = ("bins", "gaussian", "lorentzian")


@checked
def read_peak_list(
    path: str | Path,
    axis: SpectrumAxis,
    *,
    shape: str = "bins",
    fwhm: float | None = None,
    conserve: str = "height",
    outside: str = "raise",
    x_column: int = 0,
    y_column: int = 1,
    x_unit: str | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
) -> Float32[Tensor, "1 length"]:
    r"""Read a list of peaks, and make a spectrum of it. :func:`~molspectra.data.read_spectrum_table` reads curves.

    Reads text files with columns, JCAMP-DX with PEAK TABLE, XYPOINTS or XYDATA of the form (XY..XY), and one record of
    the formats MSP, MGF or MassBank. Peaks may be in any order. Peaks at one place add up.

    Args:
        path: The file.
        axis: The axis wanted.
        shape: "bins" adds each peak to the nearest sample, "gaussian" and "lorentzian" make it a line.
        fwhm: Full width of a line at half its maximum, in the unit of the axis.
        conserve: Meaning of the intensities:

            - "height": the value of a bin is the sum of its peaks, and a line has the height of its peak, of which the
              nearest sample may show a little less.
            - "area": the integral of the spectrum over the axis (`torch.trapezoid`) is the sum of the intensities,
              except for tails beyond the ends, whatever the width.
        outside: Peaks beyond the axis: "raise", an error, or "cut", which keeps the tails that reach onto the axis.
        x_column: Column of the positions, counted from 0.
        y_column: Column of the intensities.
        x_unit: Unit of the positions, instead of the file's. See :func:`~molspectra.data.read_spectrum_table`.
        delimiter: Separator of columns. See there, too.
        decimal: Decimal mark of numbers in a table, "." or ",".

    Returns:
        Intensity on the axis, (1, L) float32, zero where no peak is.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: `axis` is no SpectrumAxis.
        ValueError: the file is damaged, has no peak or several spectra, a peak is not finite or beyond the axis, a
            unit is unknown, lines are narrower than a step and ought to show their height, or an argument is wrong.

    Example:
        >>> file = tmp_path / "methanol.txt"
        >>> _ = file.write_text("m/z,intensity\n15,30\n29,45\n31,100\n32,70\n")
        >>> spectrum = read_peak_list(file, ms.data.SpectrumAxis("ms", 28, 33, 1, "m/z"), outside="cut")
        >>> spectrum
        tensor([[  0.,  45.,   0., 100.,  70.,   0.]])
    """
    check_axis("axis", axis)
    check_choice("conserve", conserve, ("height", "area"))
    check_choice("outside", outside, ("raise", "cut"))
    _check_shape(shape, fwhm, conserve, axis)
    form = TableFormat(x_column, y_column, delimiter, decimal)
    positions, intensities = checked_peaks(Path(path), axis, form, x_unit, outside)
    row = _spectrum(positions, intensities, axis, shape, fwhm, conserve)
    return row.to(torch.float32).unsqueeze(0)


def checked_peaks(
    path: Path, axis: SpectrumAxis, form: TableFormat, x_unit: str | None, outside: str
) -> tuple[Tensor, Tensor]:
    """Read the positions of peaks in the unit of an axis, and their intensities, each (K,) float64.

    Raises:
        ValueError: as :func:`read_peak_list` says.
    """
    spectrum, header = _read(path, form, axis, x_unit is None)
    spectrum.check_finite()
    if x_unit is None and not header:
        _refuse_swapped(spectrum)
    x_unit = Declared(spectrum, axis, "file").named_x_unit(x_unit, header)
    spectrum.check_possible(x_unit, axis)
    if x_unit == "m/z":
        _refuse_negative(spectrum)
    positions = spectrum.converted(x_unit, axis)
    intensities = torch.tensor(spectrum.values, dtype=torch.float64)
    beyond = (positions < axis.start - axis.step / 2) | (positions > axis.stop + axis.step / 2)
    spectrum.check_peaks_on_axis(beyond, x_unit, axis, raises=outside == "raise")
    return positions, intensities


def _check_shape(shape: str, fwhm: float | None, conserve: str, axis: SpectrumAxis) -> None:
    check_choice("shape", shape, _SHAPES)
    if shape == "bins":
        if fwhm is not None:
            raise ValueError(f'fwhm is for lines; got {fwhm} with shape="bins". Pass shape="gaussian".')
        return
    if fwhm is None or not 0 < fwhm < float("inf"):
        raise ValueError(f"fwhm must be positive and finite ({axis.unit}) for lines; got {fwhm}.")
    if conserve == "height" and fwhm < axis.step:
        raise ValueError(
            f"fwhm must be at least the step of the axis, {axis.step:g} {axis.unit}, for samples to show the height of "
            f'a line; got {fwhm:g}. Pass shape="bins", conserve="area", or an axis with smaller steps.'
        )


def _read(path: Path, form: TableFormat, axis: SpectrumAxis, with_unit: bool) -> tuple[MeasuredSpectrum, str]:
    """Read the peaks and the text that names the unit of their positions."""
    lines = read_lines(path)
    if is_jcamp(lines):
        spectrum, x_header, y_header = read_jcamp_peaks(path)
        _refuse_transmittance(path, y_header)
        return spectrum, x_header
    record = read_peak_record(path, lines)
    if record is not None:
        return record, "m/z"
    table = read_table(path, form)
    x_header, y_header = column_headers(table, form, axis.unit, with_unit=with_unit, with_kind=True)
    _refuse_transmittance(path, y_header)
    return table.spectrum, x_header


def _refuse_transmittance(path: Path, header: str) -> None:
    if "transmittance" in (value_kind(header) or ""):
        raise ValueError(
            f"{path}: peaks must have heights or areas; the file says {header!r}, which is low where light is "
            "absorbed. Convert the values to absorbance, -log10 T."
        )


def _refuse_swapped(spectrum: MeasuredSpectrum) -> None:
    """Refuse intensities in front of ascending positions, in a file that names neither."""
    x, y = spectrum.positions, spectrum.values
    ascending = len(y) > 2 and all(low < high for low, high in zip(y, y[1:], strict=False))
    if ascending and max(x) in _BASE_PEAKS and x not in (sorted(x), sorted(x, reverse=True)):
        raise ValueError(
            f"{spectrum.path} names no columns; the first looks like intensities (at most {max(x):g}, in no order), "
            "and the second like positions (ascending). Pass x_column=1, y_column=0, or x_unit to take them as they "
            "are."
        )


def _refuse_negative(spectrum: MeasuredSpectrum) -> None:
    for point, value in enumerate(spectrum.values):
        if value < 0:
            spectrum.refuse(
                point, f"intensities of a mass spectrum must not be negative; got {value:g}. Drop the peak."
            )


def _spectrum(
    positions: Tensor, intensities: Tensor, axis: SpectrumAxis, shape: str, fwhm: float | None, conserve: str
) -> Tensor:
    """Return the spectrum, (L,)."""
    if fwhm is None:
        total = sum_in_bins(positions, intensities, axis)
        return total if conserve == "height" else total / bin_widths(axis)
    if conserve == "area":
        return average_lines(positions, intensities, axis, fwhm, shape)
    return broaden(positions, intensities / peak_of_unit_area(fwhm, shape), axis, fwhm, shape)[0]
