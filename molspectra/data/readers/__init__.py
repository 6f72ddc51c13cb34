"""Readers of users' own spectra: a file in, a row on a `SpectrumAxis` out."""

from molspectra.data.readers.jcamp_dx import read_jcamp
from molspectra.data.readers.tables import read_spectrum_table

__all__ = ["read_jcamp", "read_spectrum_table"]
