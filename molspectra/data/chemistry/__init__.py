"""Chemistry of a molecule: SMILES, RDKit and ASE objects, bonds, formal charges, elements, force fields."""

from molspectra.data.chemistry.ase import from_ase, to_ase
from molspectra.data.chemistry.bond_orders import perceive_bond_orders
from molspectra.data.chemistry.bonds import perceive_bonds
from molspectra.data.chemistry.composition import molecular_formula, monoisotopic_mass
from molspectra.data.chemistry.edges import bonds_from_edges
from molspectra.data.chemistry.rdkit import from_rdkit, to_rdkit
from molspectra.data.chemistry.smiles import from_smiles

__all__ = [
    "bonds_from_edges",
    "from_ase",
    "from_rdkit",
    "from_smiles",
    "molecular_formula",
    "monoisotopic_mass",
    "perceive_bond_orders",
    "perceive_bonds",
    "to_ase",
    "to_rdkit",
]


def __dir__() -> list[str]:
    return __all__
