"""Input: molecules as fields of a PyG `Data`, spectra on a `SpectrumAxis`, files, stores and data sets of both."""

from molspectra.data import transforms
from molspectra.data.chemistry import (
    bonds_from_edges,
    from_ase,
    from_rdkit,
    from_smiles,
    molecular_formula,
    monoisotopic_mass,
    perceive_bond_orders,
    perceive_bonds,
    to_ase,
    to_rdkit,
)
from molspectra.data.conformer_store import Conformers, conformers
from molspectra.data.datasets import (
    GEOM,
    MD17,
    QM9,
    QM9S,
    QM9SP,
    CascadeNMR,
    MassBank,
    MassSpecGym,
    MeasuredSpectra,
    MiniSpectra,
    MultimodalSpectra,
    NMRShiftDB,
    PCQM4Mv2,
    StoredDataset,
    Trajectory,
    XTBVibrations,
)
from molspectra.data.io import (
    ReadMolecule,
    SpectrumReader,
    read_bruker,
    read_jcamp,
    read_molecules,
    read_peak_list,
    read_spectra,
    read_spectrum_table,
)
from molspectra.data.molecule import validate
from molspectra.data.store import AtomBudgetSampler, Collate, MoleculeStore, ShardedBatchSampler, write_store
from molspectra.spectra.axis import IR, RAMAN, UV_VIS, UV_VIS_QM9S, SpectrumAxis
from molspectra.spectra.broadening import broaden
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.per_spectrum_scaling import PerSpectrumScaling
from molspectra.spectra.resampling import resample
from molspectra.spectra.scaling import (
    ArcsinhScaling,
    IdentityScaling,
    Log10Scaling,
    LogScaling,
    MinMaxScaling,
    StandardScaling,
)

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
    "ArcsinhScaling",
    "AtomBudgetSampler",
    "CascadeNMR",
    "Collate",
    "Conformers",
    "IdentityScaling",
    "Log10Scaling",
    "LogScaling",
    "MassBank",
    "MassSpecGym",
    "MeasuredSpectra",
    "MinMaxScaling",
    "MiniSpectra",
    "MoleculeStore",
    "MultimodalSpectra",
    "NMRShiftDB",
    "PCQM4Mv2",
    "PeakAxis",
    "PerSpectrumScaling",
    "ReadMolecule",
    "ShardedBatchSampler",
    "SpectrumAxis",
    "SpectrumReader",
    "StandardScaling",
    "StoredDataset",
    "Trajectory",
    "XTBVibrations",
    "bonds_from_edges",
    "broaden",
    "conformers",
    "from_ase",
    "from_rdkit",
    "from_smiles",
    "molecular_formula",
    "monoisotopic_mass",
    "perceive_bond_orders",
    "perceive_bonds",
    "read_bruker",
    "read_jcamp",
    "read_molecules",
    "read_peak_list",
    "read_spectra",
    "read_spectrum_table",
    "resample",
    "to_ase",
    "to_rdkit",
    "transforms",
    "validate",
    "write_store",
]


def __dir__() -> list[str]:
    return __all__
