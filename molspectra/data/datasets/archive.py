"""Molecules of an archive of arrays, as it is shipped in the package."""

import functools
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.broadening import broaden


class MoleculeArchive:
    """Arrays of an .npz file that hold molecules: one row per molecule, or ragged with offsets.

    The rows of table "atom" of molecule m are atom_offset[m] to atom_offset[m + 1] of each array with a row per atom.
    The file is read once per process, on first use, and its arrays are never changed.

    Args:
        path: The file, from the folder of this package's data sets.
    """

    def __init__(self, *path: str) -> None:
        self.path = path

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Key → array."""
        return _read(self.path)

    def rows_of(self, table: str, molecule: int) -> slice:
        """Locate the rows of a molecule in the arrays of a ragged table."""
        offset = self.arrays[f"{table}_offset"]
        return slice(int(offset[molecule]), int(offset[molecule + 1]))

    def tensor(self, key: str, part: slice, dtype: torch.dtype = torch.float32) -> Tensor:
        """Copy rows of an array to a tensor, which a user may change."""
        return torch.tensor(self.arrays[key][part], dtype=dtype)

    def structure(self, molecule: int) -> dict[str, Tensor]:
        """Copy atoms, positions, bonds with i < j and their orders, and charges of a molecule."""
        atoms, bonds = self.rows_of("atom", molecule), self.rows_of("bond", molecule)
        # The file of MiniSpectra has some bonds as (j, i).
        pairs = self.tensor("bond_index", bonds, torch.int64).sort(dim=1).values
        return {
            "z": self.tensor("z", atoms, torch.int64),
            "pos": self.tensor("pos", atoms),
            "bond_index": pairs.t().contiguous(),
            "bond_order": self.tensor("bond_order", bonds),
            "mulliken_charge": self.tensor("charge", atoms),
        }

    def sticks(self, table: str, positions: str, intensities: str, molecule: int) -> tuple[Tensor, Tensor]:
        """Copy the lines of a molecule: positions (K,) and intensities (K,)."""
        lines = self.rows_of(table, molecule)
        return self.tensor(positions, lines), self.tensor(intensities, lines)

    def spectrum(
        self,
        table: str,
        positions: str,
        intensities: str,
        molecule: int,
        axis: SpectrumAxis,
        fwhm: float,
        shape: str,
    ) -> Tensor:
        """Broaden the lines of a molecule, in float64 on the CPU, to a spectrum (1, L) float32."""
        lines = self.rows_of(table, molecule)
        x, y = (torch.from_numpy(self.arrays[key][lines].astype(np.float64)) for key in (positions, intensities))
        return broaden(x, y, axis, fwhm, shape).float()


@functools.cache
def _read(path: tuple[str, ...]) -> dict[str, np.ndarray]:
    file = resources.files(__package__).joinpath(*path)
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return dict(archive)
