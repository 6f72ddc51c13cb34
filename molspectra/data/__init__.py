"""What goes in: molecules as fields of a PyG `Data`, spectra on a `SpectrumAxis`, data sets of both."""

from molspectra.data.broadening import broaden
from molspectra.data.conversion import from_ase, from_rdkit, from_smiles
from molspectra.data.datasets import MiniSpectra
from molspectra.data.molecule import validate
from molspectra.data.resampling import resample
from molspectra.data.scaling import IdentityScaling, Log10Scaling, LogScaling, MinMaxScaling, StandardScaling
from molspectra.data.spectrum import IR, RAMAN, UV_VIS, UV_VIS_QM9S, SpectrumAxis

__all__ = [
    "IR",
    "RAMAN",
    "UV_VIS",
    "UV_VIS_QM9S",
    "IdentityScaling",
    "Log10Scaling",
    "LogScaling",
    "MinMaxScaling",
    "MiniSpectra",
    "SpectrumAxis",
    "StandardScaling",
    "broaden",
    "from_ase",
    "from_rdkit",
    "from_smiles",
    "resample",
    "validate",
]
