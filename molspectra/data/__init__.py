"""What goes in: molecules as fields of a PyG `Data`, spectra on a `SpectrumAxis`, data sets of both."""

from molspectra.data import transforms
from molspectra.data.bonds import bonds_from_edges, perceive_bond_orders, perceive_bonds
from molspectra.data.broadening import broaden
from molspectra.data.conversion import from_ase, from_rdkit, from_smiles, to_rdkit
from molspectra.data.datasets import MiniSpectra
from molspectra.data.molecule import validate
from molspectra.data.resampling import resample
from molspectra.data.scaling import IdentityScaling, Log10Scaling, LogScaling, MinMaxScaling, StandardScaling
from molspectra.data.sources import ReadMolecule, read_molecules
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
    "ReadMolecule",
    "SpectrumAxis",
    "StandardScaling",
    "bonds_from_edges",
    "broaden",
    "from_ase",
    "from_rdkit",
    "from_smiles",
    "perceive_bond_orders",
    "perceive_bonds",
    "read_molecules",
    "resample",
    "to_rdkit",
    "transforms",
    "validate",
]
