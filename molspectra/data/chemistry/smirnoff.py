"""Force fields in the SMIRNOFF format: parameters of bonds, angles and torsions by chemical environment."""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from xml.etree import ElementTree

from molspectra.data.chemistry.conversion import import_rdkit
from molspectra.data.units import DEGREE

Term = tuple[int, ...]

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
# RDKit stops at 1000 matches by default, which large molecules exceed.
_MAX_MATCHES = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class HarmonicParameter:
    """E = k/2 (x - x0)^2 of a bond (k in kcal/mol/Å^2, x0 in Å) or an angle (kcal/mol/rad^2, rad)."""

    id: str
    smirks: str
    k: float
    equilibrium: float


@dataclasses.dataclass(frozen=True)
class FourierParameter:
    """E = Σ_m k_m / idivf_m (1 + cos(n_m φ - phase_m)) of a proper torsion.

    k in kcal/mol, phases in rad; idivf is None where the file leaves it to be counted ("auto").
    """

    id: str
    smirks: str
    k: tuple[float, ...]
    periodicity: tuple[int, ...]
    phase: tuple[float, ...]
    idivf: tuple[float | None, ...]


class ValenceLabels(NamedTuple):
    """Parameters of a molecule's bonds (i, j), angles (i, j, k) and proper torsions (i, j, k, l).

    A term stands there in one of its two directions only, that of :func:`oriented`; one without a parameter does not.
    """

    bonds: Mapping[Term, HarmonicParameter]
    angles: Mapping[Term, HarmonicParameter]
    torsions: Mapping[Term, FourierParameter]


_Parameter = TypeVar("_Parameter", HarmonicParameter, FourierParameter)


class SmirnoffForceField:
    """The bonds, angles and proper torsions of a SMIRNOFF force field, to be had by chemical environment.

    The format (https://openforcefield.github.io/standards/standards/smirnoff) lists SMARTS patterns with tagged atoms,
    from general to specific; the last one that matches a term gives its parameter. Such files are the OpenFF force
    fields, openforcefield/openff-forcefields on GitHub (CC BY 4.0: name them where you use them); none comes with this
    package. OpenFF 2.0.0 is the one SliDe (Ni et al. 2024) takes its force constants from. Constraints, impropers,
    charges and everything non-bonded are passed over.

    Args:
        path: An `.offxml` file. Read once, here.

    Attributes:
        name: Name of the file.
        bonds: Parameters in the order of the file, :class:`HarmonicParameter`.
        angles: Likewise.
        torsions: Likewise, :class:`FourierParameter`; proper torsions.

    Raises:
        ImportError: RDKit is not installed.
        FileNotFoundError: there is no such file.
        ValueError: the file is not a SMIRNOFF force field, or holds what is not supported: other potentials, units or
            aromaticity models, parameters that depend on bond orders, patterns that RDKit cannot read.

    Example:
        >>> force_field = SmirnoffForceField("openff-2.0.0.offxml")  # doctest: +SKIP
        >>> force_field.label(mol).bonds[0, 1].k  # doctest: +SKIP
        529.2429715351
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        root = _read(Path(path))
        self.name = Path(path).name
        self.bonds = tuple(
            _harmonic(entry, "length", "angstrom") for entry in _entries(root, "Bonds", "Bond", _HARMONIC)
        )
        self.angles = tuple(
            _harmonic(entry, "angle", "radian") for entry in _entries(root, "Angles", "Angle", _HARMONIC)
        )
        self.torsions = tuple(_fourier(entry) for entry in _entries(root, "ProperTorsions", "Proper", _FOURIER))
        self._bond_queries = [_compile(parameter, 2) for parameter in self.bonds]
        self._angle_queries = [_compile(parameter, 3) for parameter in self.angles]
        self._torsion_queries = [_compile(parameter, 4) for parameter in self.torsions]

    def label(self, mol: Any) -> ValenceLabels:
        """The parameter of each bond, angle and proper torsion of a molecule.

        Aromaticity is perceived anew, with the MDL model. An undefined stereocentre is no hindrance.

        Args:
            mol: A sanitised `rdkit.Chem.Mol` with explicit hydrogens, as :func:`molspectra.data.to_rdkit` makes it.

        Raises:
            TypeError: `mol` is not an RDKit molecule.
        """
        chem = import_rdkit("SmirnoffForceField").Chem
        if not isinstance(mol, chem.Mol):
            raise TypeError(f"mol must be an rdkit.Chem.Mol; got {type(mol).__name__}. Convert with to_rdkit.")
        mol = chem.Mol(mol)
        chem.Kekulize(mol, clearAromaticFlags=True)
        chem.SetAromaticity(mol, chem.AromaticityModel.AROMATICITY_MDL)
        return ValenceLabels(
            bonds=_match(mol, self.bonds, self._bond_queries),
            angles=_match(mol, self.angles, self._angle_queries),
            torsions=_match(mol, self.torsions, self._torsion_queries),
        )

    def __repr__(self) -> str:
        return (
            f"SmirnoffForceField({self.name!r}): {len(self.bonds)} bond, {len(self.angles)} angle and "
            f"{len(self.torsions)} torsion parameters"
        )


def oriented(term: Sequence[int]) -> Term:
    """A bond, angle or torsion in that of its two directions that sorts first.

    Example:
        >>> oriented([4, 2, 0, 1])
        (1, 0, 2, 4)
    """
    forward = tuple(term)
    return min(forward, forward[::-1])


def quantity(text: str, unit: str) -> float:
    """A number with a unit, as SMIRNOFF files write them, in the unit wanted.

    Args:
        text: A number and its units, of Å, rad, degree, kcal and mol: "529.2 * angstrom**-2 * mole**-1 * kilocalorie".
        unit: "angstrom", "radian", "kilocalorie_per_mole", "kilocalorie_per_mole / angstrom**2" or
            "kilocalorie_per_mole / radian**2".

    Raises:
        ValueError: the text is not such a number, has a unit not known here, or is a quantity of another kind.

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


def _read(path: Path) -> ElementTree.Element:
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


def _compile(parameter: HarmonicParameter | FourierParameter, num_tagged: int) -> tuple[Any, list[int]]:
    """A pattern as an RDKit query, and its tagged atoms in the order of their tags."""
    rdkit = import_rdkit("SmirnoffForceField")
    with rdkit.rdBase.BlockLogs():
        query = rdkit.Chem.MolFromSmarts(parameter.smirks)
    tags = {} if query is None else {atom.GetAtomMapNum(): atom.GetIdx() for atom in query.GetAtoms()}
    if any(tag not in tags for tag in range(1, num_tagged + 1)):
        raise ValueError(
            f"smirks of {parameter.id!r} must be a SMARTS pattern with atoms tagged 1 to {num_tagged}; got "
            f"{parameter.smirks!r}."
        )
    return query, [tags[tag] for tag in range(1, num_tagged + 1)]


def _match(
    mol: Any, parameters: Sequence[_Parameter], queries: Sequence[tuple[Any, list[int]]]
) -> dict[Term, _Parameter]:
    found = {}
    for parameter, (query, tagged) in zip(parameters, queries, strict=True):  # a later one replaces an earlier one
        for match in mol.GetSubstructMatches(query, uniquify=False, maxMatches=_MAX_MATCHES, useChirality=True):
            found[oriented([match[atom] for atom in tagged])] = parameter
    return found
