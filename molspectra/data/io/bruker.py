"""NMR spectra from the directories that TopSpin writes."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from molspectra._validation import check_choice
from molspectra.data.io.measured_spectrum import MeasuredSpectrum
from molspectra.data.io.text import to_float
from molspectra.spectra.axis import SpectrumAxis, check_axis
from molspectra.spectra.resampling import OUTSIDE

_TYPES = {0: "i4", 2: "f8"}  # by DTYPP
_PARAMETER = re.compile(r"##\$(\w+)= ?(.*?)\s*")
_NUCLEI = {"h_nmr": "1H", "c_nmr": "13C", "n_nmr": "15N", "f_nmr": "19F", "p_nmr": "31P"}


def read_bruker(
    path: str | Path,
    axis: SpectrumAxis,
    *,
    processing: int | None = None,
    outside: str = "nan",
    conserve_area: bool = False,
) -> Float32[Tensor, "1 length"]:
    """Read a processed 1D NMR spectrum from a Bruker directory, and resample it to an axis.

    Point i of SI lies at OFFSET - i SW_p / (SF SI) ppm. Intensities are those of the file 1r times 2^NC_proc. The free
    induction decay (fid) is not transformed, as phase and baseline are for the user to judge.

    Args:
        path: Directory of an experiment, of one of its processings (`pdata/1`), or the file 1r in it.
        axis: The axis wanted, in ppm. If it is named "h_nmr", "c_nmr", "n_nmr", "f_nmr" or "p_nmr", the spectrum must
            be of that nucleus.
        processing: Number of the processing. None for the only one, or number 1 of several.
        outside: Value beyond the measured range: "nan", "zero" or "raise". See :func:`molspectra.data.resample`.
        conserve_area: Average over the bins of the axis instead of interpolating. See there, too.

    Returns:
        Intensity on the axis, (1, L) float32.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: there is no processed spectrum, or a two-dimensional one, parameters are missing or impossible, the
            file is damaged or of another nucleus, or the axis is not in ppm or does not overlap.
    """
    check_axis("axis", axis)
    check_choice("outside", outside, OUTSIDE)
    if axis.unit != "ppm":
        raise ValueError(f"axis must be in ppm for an NMR spectrum; {axis.name!r} is in {axis.unit!r}.")
    folder = _processed(Path(path), processing)
    parameters = _parameters(folder)
    nucleus, wanted = parameters.get("AXNUC", "").strip("<>"), _NUCLEI.get(axis.name)
    if nucleus and wanted and nucleus != wanted:
        raise ValueError(f"{folder} must be a spectrum of {wanted} for the axis {axis.name!r}; it is of {nucleus}.")
    values = _intensities(folder, parameters)
    first, width, frequency = (_number(folder, parameters, key) for key in ("OFFSET", "SW_p", "SF"))
    if not (width > 0 and frequency > 0):
        raise ValueError(f"{folder} must have positive SW_p and SF; got {width:g} and {frequency:g}.")
    positions = first - np.arange(len(values)) * (width / frequency / len(values))
    points = MeasuredSpectrum(folder / "1r", positions.tolist(), values.tolist(), list(range(1, len(values) + 1)))
    points.check()
    return points.on_axis(axis, "ppm", "intensity", None, outside, conserve_area)


def _processed(path: Path, processing: int | None) -> Path:
    """Find the folder of a processed spectrum.

    Raises:
        FileNotFoundError: there is no such path.
        ValueError: there is none, or only one in two dimensions, or not the one wanted.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file or directory {path}.")
    folder = path.parent if path.is_file() else path
    if (folder / "1r").is_file():
        return folder
    found = {int(each.parent.name): each.parent for each in folder.glob("pdata/*/1r") if each.parent.name.isdecimal()}
    wanted = processing if processing is not None or len(found) != 1 else next(iter(found))
    chosen = found.get(1 if wanted is None else wanted)
    if chosen is not None:
        return chosen
    if found:
        raise ValueError(f"{folder} must have the processing {wanted or 1}; it has {sorted(found)}. Pass processing.")
    if any(folder.glob("pdata/*/2rr")) or (folder / "2rr").is_file():
        raise ValueError(f"{folder} holds a two-dimensional spectrum. Pick its peaks, and read their list.")
    if (folder / "fid").is_file():
        raise ValueError(
            f"{folder} holds a free induction decay and no processed spectrum (pdata/1/1r). Transform, phase and "
            "correct it in TopSpin, or with nmrglue.proc_base.fft and nmrglue.proc_autophase.autops."
        )
    raise ValueError(f"{folder} must be a Bruker directory with pdata/1/1r; it has neither that nor a fid.")


def _parameters(folder: Path) -> Mapping[str, str]:
    """Read the parameters of a processing, `##$NAME= value` in each line.

    nmrglue, which reads such files, never returns from a text whose closing bracket is lost.

    Raises:
        ValueError: the file is missing, or cut.
    """
    try:
        lines = (folder / "procs").read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise ValueError(f"{folder / 'procs'} is missing: {error}. Copy the directory anew.") from error
    if not any(line.startswith("##END=") for line in lines):
        raise ValueError(f"{folder / 'procs'} must end with ##END=; it is truncated. Copy the directory anew.")
    return {match[1]: match[2] for line in lines if (match := _PARAMETER.fullmatch(line))}


def _intensities(folder: Path, parameters: Mapping[str, str]) -> np.ndarray:
    """Read the file 1r, scaled, float64.

    Raises:
        ValueError: its length or its type is not that of the parameters.
    """
    number, kind, order, power = (_integer(folder, parameters, key) for key in ("SI", "DTYPP", "BYTORDP", "NC_proc"))
    if kind not in _TYPES or order not in (0, 1) or abs(power) > 60:
        raise ValueError(f"{folder} has impossible parameters: DTYPP {kind}, BYTORDP {order}, NC_proc {power}.")
    file, dtype = folder / "1r", np.dtype(("<", ">")[order] + _TYPES[kind])
    expected = number * dtype.itemsize
    if file.stat().st_size != expected:
        raise ValueError(
            f"{file} must have {expected} bytes, {number} points of {dtype.itemsize}, as procs says; it has "
            f"{file.stat().st_size}. Copy the directory anew."
        )
    return np.fromfile(file, dtype).astype(np.float64) * 2.0**power


def _number(folder: Path, parameters: Mapping[str, str], key: str) -> float:
    text = parameters.get(key, "")
    try:
        value = to_float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{folder / 'procs'} must have the number {key}; got {text!r}. Copy the directory anew.")
    return value


def _integer(folder: Path, parameters: Mapping[str, str], key: str) -> int:
    value = _number(folder, parameters, key)
    if value != int(value):
        raise ValueError(f"{folder / 'procs'} must have a whole number {key}; got {value:g}. Copy the directory anew.")
    return int(value)
