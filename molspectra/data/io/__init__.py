"""File formats: readers of molecules and spectra, none of which executes code from a file."""

from molspectra.data.io.bruker import read_bruker
from molspectra.data.io.jcamp import read_jcamp
from molspectra.data.io.molecules import read_molecules
from molspectra.data.io.peak_list import read_peak_list
from molspectra.data.io.smiles_entries import ReadMolecule
from molspectra.data.io.spectra import SpectrumReader, read_spectra
from molspectra.data.io.spectrum_columns import read_spectrum_table

__all__ = [
    "ReadMolecule",
    "SpectrumReader",
    "read_bruker",
    "read_jcamp",
    "read_molecules",
    "read_peak_list",
    "read_spectra",
    "read_spectrum_table",
]


def __dir__() -> list[str]:
    return __all__
