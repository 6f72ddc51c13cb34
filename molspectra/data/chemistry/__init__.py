"""Molecules as chemists describe them: SMILES, RDKit and ASE objects, bonds, formal charges, force fields."""

from molspectra.data.chemistry.bonds import bonds_from_edges, perceive_bond_orders, perceive_bonds
from molspectra.data.chemistry.conversion import from_ase, from_rdkit, from_smiles, to_rdkit

__all__ = [
    "bonds_from_edges",
    "from_ase",
    "from_rdkit",
    "from_smiles",
    "perceive_bond_orders",
    "perceive_bonds",
    "to_rdkit",
]
