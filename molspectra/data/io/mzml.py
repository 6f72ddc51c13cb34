"""Spectra from mzML files, through pymzML."""

import logging
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

from molspectra.data.io.archives import open_binary

_MS_LEVEL, _POSITIVE, _NEGATIVE = "MS:1000511", "MS:1000130", "MS:1000129"
_PROFILE = "MS:1000128"
_COLLISION_ENERGY = "MS:1000045"  # in eV
_NORMALIZED_ENERGY = "MS:1000138"  # in percent
_HEAD = 4096  # bytes in which the name of the root element stands
# Errors of pymzML for what it cannot decode: base64, zlib, a number of bytes that is no multiple of the type's, terms.
_DAMAGE = (ValueError, zlib.error, KeyError, TypeError, AttributeError, IndexError)


class MzMLSpectrum(NamedTuple):
    """Spectrum of an mzML file."""

    name: str
    """Its number, of which the file makes an id."""
    level: int
    """1 for spectra of all ions, 2 for those of fragments."""
    stated: dict[str, str]
    """Statements of the file, under the names that the text formats use."""
    positions: list[float]
    intensities: list[float]
    problem: str | None
    """Reason why it cannot be used, None otherwise."""


def read_mzml(path: Path) -> Iterator[MzMLSpectrum]:
    """Read the spectra of an mzML file, one at a time.

    Raises:
        ImportError: pymzML is not installed.
        ValueError: the file is no mzML, or ends within a spectrum.
    """
    pymzml = _import_pymzml()
    try:
        _check_root(path)
        with pymzml.run.Reader(str(path)) as run:
            for number, spectrum in enumerate(run, 1):
                yield _converted(number, spectrum)
                spectrum.element.clear()  # pymzML keeps the whole file otherwise
    except (*_DAMAGE, ParseError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged, truncated or no mzML file: {error}. Fetch or export it anew.") from error


def _check_root(path: Path) -> None:
    with open_binary(path) as stream:
        if b"mzML" not in stream.read(_HEAD):
            raise ValueError("it does not begin with an element mzML")


def _converted(number: int, spectrum: Any) -> MzMLSpectrum:
    level = spectrum.get(_MS_LEVEL)
    name = str(spectrum.element.get("id") or number)
    level = int(level) if level is not None else 0
    try:
        positions, intensities = spectrum.mz.tolist(), spectrum.i.tolist()
        stated = _stated(spectrum, level)
    except _DAMAGE as error:
        return MzMLSpectrum(name, level, {}, [], [], f"its arrays cannot be decoded: {error}.")
    return MzMLSpectrum(name, level, stated, positions, intensities, _problem(spectrum, positions, intensities))


def _problem(spectrum: Any, positions: list[float], intensities: list[float]) -> str | None:
    """Check the number of points, which a damaged array without compression betrays by nothing else."""
    expected = int(spectrum.element.get("defaultArrayLength", len(positions)))
    if not len(positions) == len(intensities) == expected:
        return f"it must have {expected} points, as it says itself; found {len(positions)} and {len(intensities)}."
    if spectrum.get(_PROFILE) is not None or _has(spectrum, _PROFILE):
        return "it is a profile, no list of peaks. Pick peaks, for example with msconvert --filter peakPicking."
    return None


def _stated(spectrum: Any, level: int) -> dict[str, str]:
    stated = {"ionmode": "positive" if _has(spectrum, _POSITIVE) else "negative" if _has(spectrum, _NEGATIVE) else ""}
    precursors = spectrum.selected_precursors if level > 1 else []
    if len(precursors) == 1:  # several are a multiplexed spectrum
        stated["precursormz"] = str(precursors[0].get("mz") or "")
        stated["charge"] = str(precursors[0].get("charge") or "")
    energy, normalized = spectrum.get(_COLLISION_ENERGY), spectrum.get(_NORMALIZED_ENERGY)
    if energy is not None:
        stated["collisionenergy"] = f"{energy} eV"
    elif normalized is not None:
        stated["collisionenergy"] = f"{normalized} %"
    return stated


def _has(spectrum: Any, accession: str) -> bool:
    """Return True if a spectrum has a term, also one without a value."""
    return spectrum.element.find(f".//{{*}}cvParam[@accession='{accession}']") is not None


def _import_pymzml() -> Any:
    logging.getLogger("pymzml").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # of its own optional decoder
            import pymzml.run
    except ImportError as error:
        raise ImportError("mzML files need pymzML; install it with `pip install molspectra[ms]`.") from error
    return pymzml
