"""Molecules of a source as they are read, and SMILES whose conformers are still to be made."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from torch_geometric.data import Data

from molspectra.data.chemistry.smiles import from_smiles
from molspectra.data.io.file_names import is_file_name, unknown_file
from molspectra.data.io.tables import TableRow


class ReadMolecule(NamedTuple):
    """One molecule of a source, or the reason why it could not be read."""

    name: str
    """Its SMILES, its title in a file, or its place in the source."""
    molecule: Data | None
    """The molecule, or None if it could not be read."""
    problem: str | None
    """The reason why it could not be read, None otherwise."""


class SmilesEntry(NamedTuple):
    """A SMILES of a source, whose conformer is still to be made."""

    row: TableRow
    """The SMILES, and labels that become fields."""
    seed: int
    """Seed of the conformer."""
    name: str
    """Name of the molecule."""
    failed_name: str
    """Name of the molecule if no conformer can be made, which says where it stands."""

    def read(self) -> ReadMolecule:
        """Make the conformer."""
        read = attempt(self.name, self._molecule)
        return read if read.problem is None else read._replace(name=self.failed_name)

    def _molecule(self) -> Data:
        fields = self.row.label_fields()
        smiles = self.row.smiles
        try:
            molecule = from_smiles(smiles, seed=self.seed)
        except ValueError as error:
            raise ValueError(unknown_file(smiles) if is_file_name(smiles) else str(error)) from error
        for name, value in fields.items():
            molecule[name] = value
        return molecule


Entry: TypeAlias = ReadMolecule | SmilesEntry


def attempt(name: str, make: Callable[[], Data]) -> ReadMolecule:
    """Make a molecule. A faulty one raises ValueError. Any other error is a bug, and passes through."""
    try:
        return ReadMolecule(name, make(), None)
    except ValueError as error:
        return ReadMolecule(name, None, str(error))


def smiles_entry(smiles: str, seed: int) -> SmilesEntry:
    """Return the entry of a SMILES that stands by itself."""
    return SmilesEntry(TableRow(smiles, smiles, {}), seed, smiles, smiles)
