"""Force fields in the SMIRNOFF format: parameters of bonds, angles and torsions by chemical environment."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.smirnoff_file import FourierParameter, HarmonicParameter, read_smirnoff

# RDKit stops at 1000 matches by default, which large molecules exceed.
_MAX_MATCHES = 2**31 - 1

Term = tuple[int, ...]


class ValenceLabels(NamedTuple):
    """Parameters of a molecule's bonds (i, j), angles (i, j, k) and proper torsions (i, j, k, l).

    Each term appears in only one of its two directions, the one that :func:`oriented` returns. Terms without a
    parameter are absent.
    """

    bonds: Mapping[Term, HarmonicParameter]
    angles: Mapping[Term, HarmonicParameter]
    torsions: Mapping[Term, FourierParameter]


_Parameter = TypeVar("_Parameter", HarmonicParameter, FourierParameter)


class SmirnoffForceField:
    """Bonds, angles and proper torsions of a SMIRNOFF force field, looked up by chemical environment.

    The format (https://openforcefield.github.io/standards/standards/smirnoff) lists SMARTS patterns with tagged atoms,
    from general to specific. The last one that matches a term gives its parameter. The OpenFF force fields
    (openforcefield/openff-forcefields on GitHub, CC BY 4.0: name them where you use them) are such files. None is
    shipped with this package. SliDe (Ni et al. 2024) takes its force constants from OpenFF 2.0.0. Constraints,
    impropers, charges and all non-bonded parameters are ignored.

    Args:
        path: An `.offxml` file. It is read once, by the constructor.

    Attributes:
        name: Name of the file.
        bonds: Parameters in the order of the file, `HarmonicParameter`.
        angles: Likewise.
        torsions: Proper torsions, `FourierParameter`.

    Raises:
        ImportError: RDKit is not installed.
        FileNotFoundError: there is no such file.
        ValueError: the file is not a SMIRNOFF force field, or uses an unsupported potential, unit, aromaticity model,
            interpolation by bond order, or a pattern that RDKit cannot read.

    Example:
        >>> bond = 'smirks="[#8:1]-[#1:2]" length="0.97 * angstrom" k="1060 * kilocalorie_per_mole / angstrom**2"'
        >>> file = tmp_path / "water.offxml"
        >>> root = '<SMIRNOFF aromaticity_model="OEAroModel_MDL">'
        >>> _ = file.write_text(f"{root}<Bonds><Bond {bond}/></Bonds></SMIRNOFF>")
        >>> water = ms.data.to_rdkit(ms.data.from_smiles("O"))
        >>> SmirnoffForceField(file).label(water).bonds[0, 1].k  # kcal/mol/Å^2
        1060.0
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        parameters = read_smirnoff(Path(path))
        self.name = Path(path).name
        self.bonds, self.angles, self.torsions = parameters.bonds, parameters.angles, parameters.torsions
        self._bond_queries = [_compile(parameter, 2) for parameter in self.bonds]
        self._angle_queries = [_compile(parameter, 3) for parameter in self.angles]
        self._torsion_queries = [_compile(parameter, 4) for parameter in self.torsions]

    def label(self, mol: Any) -> ValenceLabels:
        """Find the parameter of each bond, angle and proper torsion of a molecule.

        Aromaticity is perceived anew, with the MDL model. Undefined stereocenters are accepted.

        Args:
            mol: A sanitized `rdkit.Chem.Mol` with explicit hydrogens, as :func:`molspectra.data.to_rdkit` makes it.

        Raises:
            TypeError: `mol` is not an RDKit molecule.
        """
        chem = import_rdkit("SmirnoffForceField").Chem
        if not isinstance(mol, chem.Mol):
            raise TypeError(f"mol must be an rdkit.Chem.Mol; got {type(mol).__name__}. Convert with to_rdkit.")
        mol = chem.Mol(mol)
        # The patterns are written for the MDL model, which finds fewer aromatic rings than RDKit's own.
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
    """Return the direction of a bond, angle or torsion that sorts first.

    Example:
        >>> oriented([4, 2, 0, 1])
        (1, 0, 2, 4)
    """
    forward = tuple(term)
    return min(forward, forward[::-1])


def _compile(parameter: HarmonicParameter | FourierParameter, num_tagged: int) -> tuple[Any, list[int]]:
    """Compile a pattern to an RDKit query, and find its tagged atoms in the order of their tags."""
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
