"""RDKit, imported where it is needed, and its molecules put together from atoms and bonds."""

from collections.abc import Iterable, Sequence
from typing import Any

AROMATIC = 1.5
"""Order of an aromatic bond."""


def import_rdkit(needed_by: str) -> Any:
    """Import RDKit and the parts of it that the package uses.

    Args:
        needed_by: Name of the function that needs it, for the error message.

    Returns:
        The package `rdkit`.

    Raises:
        ImportError: RDKit is not installed.
    """
    try:
        import rdkit.Chem.rdDetermineBonds
        import rdkit.Chem.rdDistGeom
        import rdkit.Chem.rdFingerprintGenerator
        import rdkit.Chem.rdForceFieldHelpers
        import rdkit.Chem.rdMolDescriptors
        import rdkit.Chem.Scaffolds.MurckoScaffold
        import rdkit.DataStructs
        import rdkit.DistanceGeometry
        import rdkit.ForceField.rdForceField  # registers the classes that the helpers return, before RDKit 2025.9
        import rdkit.rdBase
    except ImportError as error:
        raise ImportError(f"{needed_by} needs RDKit; install it with `pip install molspectra[rdkit]`.") from error
    return rdkit


def assemble(
    numbers: Sequence[int], bonds: Iterable[tuple[int, int, float]], charges: Sequence[int] | None = None
) -> Any:
    """Build an RDKit molecule from its atoms and bonds, without checking their valences.

    Args:
        numbers: Atomic number of each atom. All hydrogens are among them: RDKit adds none.
        bonds: Atoms i and j, and order (1, 1.5 for aromatic, 2 or 3), of each bond.
        charges: Formal charge of each atom. By default 0.

    Returns:
        An unsanitized `rdkit.Chem.RWMol` with atoms and bonds in the given order.
    """
    chem = import_rdkit("assemble").Chem
    types = {
        1: chem.BondType.SINGLE,
        AROMATIC: chem.BondType.AROMATIC,
        2: chem.BondType.DOUBLE,
        3: chem.BondType.TRIPLE,
    }
    mol = chem.RWMol()
    for number, charge in zip(numbers, charges or [0] * len(numbers), strict=True):
        atom = chem.Atom(number)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    for i, j, order in bonds:
        bond = mol.GetBondWithIdx(mol.AddBond(i, j, types[order]) - 1)
        if order == AROMATIC:
            for part in (bond, bond.GetBeginAtom(), bond.GetEndAtom()):
                part.SetIsAromatic(True)
    return mol
