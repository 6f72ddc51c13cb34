"""Conversion of molecules from and to RDKit."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra._validation import check_molecules, checked
from molspectra.data.chemistry._rdkit import AROMATIC, assemble, import_rdkit
from molspectra.data.chemistry.distances import check_geometry
from molspectra.data.chemistry.formal_charges import infer_formal_charges
from molspectra.data.molecule import validate


@checked
def from_rdkit(mol: Any, conformer: int = -1) -> Data:
    """Convert an RDKit molecule, with the positions of one of its conformers.

    Args:
        mol: An `rdkit.Chem.Mol` with explicit hydrogens and at least one 3D conformer.
        conformer: Id of the conformer, or -1 for the first.

    Returns:
        `z`, `pos` (float32, Å), `bond_index`, `bond_order`, `formal_charge` (N,) int64 and `smiles` (canonical, without
        explicit hydrogens). Bonds of order zero, with which RDKit marks contacts, are left out.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: `mol` is not an RDKit molecule.
        ValueError: the molecule is not sanitized, lacks this conformer, has only a flat drawing, has dummy atoms, or
            has hydrogens without positions, or positions cannot be those of the molecule in Å: two atoms are in one
            place, bonds are far too short or too long, or atoms with four neighbors are flat.
    """
    rdkit = import_rdkit("from_rdkit")
    if not isinstance(mol, rdkit.Chem.Mol):
        raise TypeError(f"mol must be an rdkit.Chem.Mol; got {type(mol).__name__}. For SMILES use from_smiles.")
    geometry = _conformer(mol, conformer)
    try:
        implicit = sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    except RuntimeError as error:  # RDKit has not calculated valences
        raise ValueError("mol must be sanitized; it is not. Call rdkit.Chem.SanitizeMol(mol).") from error
    if implicit:
        raise ValueError(
            f"mol must have explicit hydrogens; {implicit} are implicit and have no positions. Add them with "
            "rdkit.Chem.AddHs(mol, addCoords=True)."
        )
    refuse_dummies(mol)
    data = atoms_and_bonds(mol, geometry)
    data.formal_charge = formal_charges(mol)
    with rdkit.rdBase.BlockLogs():  # RDKit warns of hydrogens without a neighbor, such as H+
        data.smiles = rdkit.Chem.MolToSmiles(rdkit.Chem.RemoveHs(mol))
    return data


def atoms_and_bonds(mol: Any, geometry: Any) -> Data:
    """Convert the atoms, positions and bonds of an RDKit molecule, which need not be sanitized.

    Args:
        mol: The molecule.
        geometry: One of its conformers.

    Returns:
        `z`, `pos` (float32, Å), `bond_index` and `bond_order`.

    Raises:
        ValueError: there are no atoms, a position is not finite, or positions cannot be those of the molecule in Å.
    """
    pos = torch.tensor(geometry.GetPositions(), dtype=torch.float32).reshape(-1, 3)
    data = Data(pos=pos, **graph(mol))
    check_molecules(data.z, pos, batch=None)
    check_geometry(data)
    return data


def graph(mol: Any) -> dict[str, Tensor]:
    """Return the fields `z`, `bond_index` and `bond_order` of an RDKit molecule, which needs no conformer."""
    bonds = [bond for bond in mol.GetBonds() if bond.GetBondTypeAsDouble() > 0]
    pairs = [sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())) for bond in bonds]
    return {
        "z": torch.tensor([atom.GetAtomicNum() for atom in mol.GetAtoms()], dtype=torch.int64),
        "bond_index": torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t().contiguous(),
        "bond_order": torch.tensor([bond.GetBondTypeAsDouble() for bond in bonds], dtype=torch.float32),
    }


def formal_charges(mol: Any) -> Tensor:
    """Return the formal charge of each atom of an RDKit molecule, (N,) int64."""
    return torch.tensor([atom.GetFormalCharge() for atom in mol.GetAtoms()], dtype=torch.int64)


@checked
def to_rdkit(data: Data) -> Any:
    """Convert a molecule with bonds to an RDKit molecule.

    Args:
        data: `z`, `pos`, `bond_index`, `bond_order` (1, 1.5, 2 or 3) and, optionally, `formal_charge`. All bonds and
            hydrogens must be present. Without `formal_charge`, charges are inferred from the bonds, which is right for
            closed shells except for a few unusual species: see
            :func:`molspectra.data.chemistry.formal_charges.infer_formal_charges`.

    Returns:
        A sanitized `rdkit.Chem.Mol`: the same atoms in the same order, all hydrogens explicit, one conformer, and the
        stereochemistry of that conformer. Bonds keep their order, and RDKit decides which of them are aromatic.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: a field has a wrong dtype.
        ValueError: `data` is a `Batch`, has no bonds, has a field of wrong shape or value, or has valences that RDKit
            refuses.

    Example:
        >>> import rdkit.Chem
        >>> rdkit.Chem.MolToSmiles(rdkit.Chem.RemoveHs(to_rdkit(ms.data.from_smiles("C[N+](=O)[O-]"))))
        'C[N+](=O)[O-]'
    """
    rdkit = import_rdkit("to_rdkit")
    _check_convertible(data)
    numbers = data.z.tolist()
    bonds = list(zip(*data.bond_index.tolist(), data.bond_order.tolist(), strict=True))
    given = data.get("formal_charge")
    mol = assemble(numbers, bonds, infer_formal_charges(numbers, bonds) if given is None else given.tolist())
    conformer = rdkit.Chem.Conformer(len(numbers))
    for index, position in enumerate(data.pos.tolist()):
        conformer.SetAtomPosition(index, position)
    mol.AddConformer(conformer)
    with rdkit.rdBase.BlockLogs():  # the error below says what RDKit writes to stderr
        try:
            rdkit.Chem.SanitizeMol(mol)
        except rdkit.Chem.MolSanitizeException as error:
            source = "taken from the bonds; set data.formal_charge" if given is None else "given; correct formal_charge"
            raise ValueError(
                f"data{_name(data)} must have bond orders and charges that make a valid molecule, hydrogens included; "
                f"RDKit says: {str(error).strip()}. Formal charges were {source}, or correct bond_order."
            ) from error
        rdkit.Chem.AssignStereochemistryFrom3D(mol)
    return mol.GetMol()


def refuse_dummies(mol: Any) -> None:
    """Check that an RDKit molecule has no dummy atoms.

    Raises:
        ValueError: it has one. The message names it.
    """
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            raise ValueError(
                f"The molecule must not have dummy atoms; atom {atom.GetIdx()} is one (* in SMILES). Replace "
                "attachment points, for example by hydrogen."
            )


def _conformer(mol: Any, conformer: int) -> Any:
    known = [c.GetId() for c in mol.GetConformers()]
    if not known or (conformer != -1 and conformer not in known):
        raise ValueError(
            f"conformer must be the id of one of the molecule's conformers {known}, or -1 for the first; got "
            f"{conformer}. Make one with rdkit.Chem.rdDistGeom.EmbedMolecule, or use from_smiles."
        )
    geometry = mol.GetConformer(conformer)
    if not geometry.Is3D():
        raise ValueError(
            f"Conformer {geometry.GetId()} must be three-dimensional; it is marked as a drawing. Embed the molecule, "
            "or, if the coordinates are true, call mol.GetConformer().Set3D(True)."
        )
    return geometry


def _check_convertible(data: Data) -> None:
    if isinstance(data, Batch):
        raise ValueError("data must be one molecule; got a Batch. Convert each of batch.to_data_list().")
    validate(data, kinds=())
    for field in ("bond_index", "bond_order"):
        if not isinstance(data.get(field), Tensor):
            raise ValueError(
                f"data{_name(data)} must have {field}; its fields are {list(data.keys())}. Take the molecule from "
                "from_smiles or from_rdkit, or find its bonds with rdkit.Chem.rdDetermineBonds."
            )
    unknown = set(data.bond_order.tolist()) - {1, AROMATIC, 2, 3}
    if unknown:
        raise ValueError(f"bond_order must be 1, 1.5 (aromatic), 2 or 3 for RDKit; got {sorted(unknown)}.")
    charge = data.get("formal_charge")
    if charge is None:
        return
    if not isinstance(charge, Tensor) or charge.dtype != torch.int64:
        got = charge.dtype if isinstance(charge, Tensor) else type(charge).__name__
        raise TypeError(f"formal_charge must be an int64 tensor; got {got}. Convert with formal_charge.long().")
    if charge.shape != data.z.shape:
        raise ValueError(
            f"formal_charge must have shape {tuple(data.z.shape)}, one entry per atom; got {tuple(charge.shape)}. "
            "Leave it out to have charges inferred from the bonds."
        )


def _name(data: Data) -> str:
    """Return the molecule's SMILES in brackets, for error messages, or nothing if it has none."""
    smiles = data.get("smiles")
    return f" ({smiles})" if isinstance(smiles, str) else ""
