"""Files in the SMIRNOFF format: their parameters and their quantities with units."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from molspectra.data.units import DEGREE

# Unit → its size in Å, rad, kcal and mol, and its exponents of (length, angle, energy, amount).
_UNITS = {
    "angstrom": (1.0, (1, 0, 0, 0)),
    "radian": (1.0, (0, 1, 0, 0)),
    "degree": (DEGREE, (0, 1, 0, 0)),
    "kilocalorie": (1.0, (0, 0, 1, 0)),
    "mole": (1.0, (0, 0, 0, 1)),
    "kilocalorie_per_mole": (1.0, (0, 0, 1, -1)),
}
_DIMENSIONS = {
    "angstrom": (1, 0, 0, 0),
    "radian": (0, 1, 0, 0),
    "kilocalorie_per_mole": (0, 0, 1, -1),
    "kilocalorie_per_mole / angstrom**2": (-2, 0, 1, -1),
    "kilocalorie_per_mole / radian**2": (0, -2, 1, -1),
}
_QUANTITY = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*((?:[*/]\s*[A-Za-z_]+\s*(?:\*\*\s*[-+]?\d+\s*)?)*)")
_FACTOR = re.compile(r"([*/])\s*([A-Za-z_]+)\s*(?:\*\*\s*([-+]?\d+))?")

_AROMATICITY = "OEAroModel_MDL"
_HARMONIC = "harmonic"
_FOURIER = "k*(1+cos(periodicity*theta-phase))"


@dataclasses.dataclass(frozen=True)
class HarmonicParameter:
    """Potential E = k/2 (x - x0)^2 of a bond (k in kcal/mol/Å^2, x0 in Å) or an angle (kcal/mol/rad^2, rad)."""

    id: str
    smirks: str
    k: float
    equilibrium: float


@dataclasses.dataclass(frozen=True)
class FourierParameter:
    """Potential E = Σ_m k_m / idivf_m (1 + cos(n_m φ - phase_m)) of a proper torsion.

    k in kcal/mol, phases in rad. idivf is None where the file says "auto": the torsions about the bond are counted.
    """

    id: str
    smirks: str
    k: tuple[float, ...]
    periodicity: tuple[int, ...]
    phase: tuple[float, ...]
    idivf: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class SmirnoffParameters:
    """Parameters of a force field, in the order of its file: the last one that matches a term counts."""

    bonds: tuple[HarmonicParameter, ...]
    angles: tuple[HarmonicParameter, ...]
    torsions: tuple[FourierParameter, ...]


def read_smirnoff(path: Path) -> SmirnoffParameters:
    """Read bonds, angles and proper torsions of an `.offxml` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a SMIRNOFF force field, or uses an unsupported potential, unit, aromaticity model or
            interpolation by bond order.
    """
    root = _read_root(path)
    return SmirnoffParameters(
        bonds=tuple(_harmonic(entry, "length", "angstrom") for entry in _entries(root, "Bonds", "Bond", _HARMONIC)),
        angles=tuple(_harmonic(entry, "angle", "radian") for entry in _entries(root, "Angles", "Angle", _HARMONIC)),
        torsions=tuple(_fourier(entry) for entry in _entries(root, "ProperTorsions", "Proper", _FOURIER)),
    )


def quantity(text: str, unit: str) -> float:
    """Convert a number with a unit, as SMIRNOFF files write them, to another unit.

    Args:
        text: A number and its units, of Å, rad, degree, kcal and mol: "529.2 * angstrom**-2 * mole**-1 * kilocalorie".
        unit: "angstrom", "radian", "kilocalorie_per_mole", "kilocalorie_per_mole / angstrom**2" or
            "kilocalorie_per_mole / radian**2".

    Returns:
        The number in `unit`.

    Raises:
        ValueError: the text is not such a number, has an unknown unit, or is a quantity of another dimension.

    Example:
        >>> quantity("180 * degree", "radian")
        3.141592653589793
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"A quantity must be a number times units, as '1.5 * angstrom'; got {text!r}.")
    value, dimensions = float(match[1]), [0, 0, 0, 0]
    for operator, name, power in _FACTOR.findall(match[2]):
        singular = name.replace("kilocalories", "kilocalorie").removesuffix("s")
        if singular not in _UNITS:
            raise ValueError(f"Unit {name!r} in {text!r} is not known; expected {sorted(_UNITS)}. Convert the file.")
        exponent = int(power or 1) * (1 if operator == "*" else -1)
        size, of_unit = _UNITS[singular]
        value *= size**exponent
        dimensions = [total + exponent * one for total, one in zip(dimensions, of_unit, strict=True)]
    if tuple(dimensions) != _DIMENSIONS[unit]:
        raise ValueError(f"A quantity must be in {unit} or the like; got {text!r}. Correct the file.")
    return value


def _read_root(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"path must be a SMIRNOFF file; there is no {path}. OpenFF force fields (.offxml) are in the GitHub "
            "repository openforcefield/openff-forcefields."
        ) from error
    except ElementTree.ParseError as error:
        raise ValueError(f"path must be a SMIRNOFF file, which is XML; {path} is not: {error}.") from error
    if root.tag != "SMIRNOFF":
        raise ValueError(f"path must be a SMIRNOFF file; the root of {path} is <{root.tag}>, not <SMIRNOFF>.")
    if root.get("aromaticity_model") != _AROMATICITY:
        raise ValueError(
            f"aromaticity_model must be {_AROMATICITY!r}, the only one supported; {path} has "
            f"{root.get('aromaticity_model')!r}."
        )
    return root


def _entries(root: ElementTree.Element, section: str, tag: str, potential: str) -> Iterator[ElementTree.Element]:
    for part in root.iterfind(section):
        if part.get("potential", potential) != potential:
            raise ValueError(f"The potential of {section} must be {potential!r}; got {part.get('potential')!r}.")
        yield from part.iterfind(tag)


def _harmonic(entry: ElementTree.Element, equilibrium: str, unit: str) -> HarmonicParameter:
    return HarmonicParameter(
        id=entry.get("id", ""),
        smirks=_text(entry, "smirks"),
        k=_quantity(entry, "k", f"kilocalorie_per_mole / {unit}**2"),
        equilibrium=_quantity(entry, equilibrium, unit),
    )


def _fourier(entry: ElementTree.Element) -> FourierParameter:
    num_terms = sum(re.fullmatch(r"periodicity\d+", name) is not None for name in entry.attrib)
    terms = range(1, 1 + max(num_terms, 1))
    divisors = [entry.get(f"idivf{m}", "auto") for m in terms]
    return FourierParameter(
        id=entry.get("id", ""),
        smirks=_text(entry, "smirks"),
        k=tuple(_quantity(entry, f"k{m}", "kilocalorie_per_mole") for m in terms),
        periodicity=tuple(int(_text(entry, f"periodicity{m}")) for m in terms),
        phase=tuple(_quantity(entry, f"phase{m}", "radian") for m in terms),
        idivf=tuple(None if divisor == "auto" else float(divisor) for divisor in divisors),
    )


def _text(entry: ElementTree.Element, name: str) -> str:
    text = entry.get(name)
    if text is None:
        raise ValueError(
            f"{entry.tag} {entry.get('id')!r} must have {name}; it has {sorted(entry.attrib)}. Parameters that are "
            "interpolated by bond order are not supported: take a force field without them."
        )
    return text


def _quantity(entry: ElementTree.Element, name: str, unit: str) -> float:
    text = _text(entry, name)
    try:
        return quantity(text, unit)
    except ValueError as error:
        raise ValueError(f"{name} of {entry.tag} {entry.get('id')!r}: {error}") from error
