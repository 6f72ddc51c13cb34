"""What goes in: molecules as fields of a PyG `Data`, spectra on a `SpectrumAxis`, data sets of both."""

from molspectra.data import transforms
from molspectra.data.bonds import bonds_from_edges, perceive_bond_orders, perceive_bonds
from molspectra.data.broadening import broaden
from molspectra.data.collate import Collate
from molspectra.data.conversion import from_ase, from_rdkit, from_smiles, to_rdkit
from molspectra.data.datasets import (
    GEOM,
    MD17,
    QM9,
    QM9S,
    QM9SP,
    MiniSpectra,
    MultimodalSpectra,
    PCQM4Mv2,
    StoredDataset,
    Trajectory,
)
from molspectra.data.molecule import validate
from molspectra.data.readers import read_jcamp, read_spectrum_table
from molspectra.data.resampling import resample
from molspectra.data.sampling import AtomBudgetSampler, ShardedBatchSampler
from molspectra.data.scaling import IdentityScaling, Log10Scaling, LogScaling, MinMaxScaling, StandardScaling
from molspectra.data.sources import ReadMolecule, read_molecules
from molspectra.data.spectrum import IR, RAMAN, UV_VIS, UV_VIS_QM9S, SpectrumAxis
from molspectra.data.store import MoleculeStore
from molspectra.data.store_writer import write_store

__all__ = [
    "GEOM",
    "IR",
    "MD17",
    "QM9",
    "QM9S",
    "QM9SP",
    "RAMAN",
    "UV_VIS",
    "UV_VIS_QM9S",
    "AtomBudgetSampler",
    "Collate",
    "IdentityScaling",
    "Log10Scaling",
    "LogScaling",
    "MinMaxScaling",
    "MiniSpectra",
    "MoleculeStore",
    "MultimodalSpectra",
    "PCQM4Mv2",
    "ReadMolecule",
    "ShardedBatchSampler",
    "SpectrumAxis",
    "StandardScaling",
    "StoredDataset",
    "Trajectory",
    "bonds_from_edges",
    "broaden",
    "from_ase",
    "from_rdkit",
    "from_smiles",
    "perceive_bond_orders",
    "perceive_bonds",
    "read_jcamp",
    "read_molecules",
    "read_spectrum_table",
    "resample",
    "to_rdkit",
    "transforms",
    "validate",
    "write_store",
]
