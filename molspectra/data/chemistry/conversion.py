"""Molecules from elsewhere: SMILES, RDKit and ASE → `torch_geometric.data.Data`; and back to RDKit."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra._validation import check_molecules
from molspectra.data.chemistry.formal_charge import infer_formal_charges
from molspectra.data.molecule import validate

# Å between the fragments of a disconnected SMILES, about a van der Waals contact.
_FRAGMENT_GAP = 3.0
_FORCE_FIELD_STEPS = 2000
_AROMATIC = 1.5


def from_smiles(smiles: str, seed: int = 0, optimize: bool = True) -> Data:
    """One conformer of a molecule given as SMILES, all hydrogens included.

    Positions come from RDKit's ETKDGv3 and are then relaxed with MMFF94, or with UFF where MMFF94 has no parameters
    (at most 2000 steps). Charged molecules, single atoms and ions, and salts will do: the fragments of a disconnected
    SMILES are relaxed each by itself and put side by side, 3 Å apart. Stereochemistry that the SMILES leaves open is
    drawn with the seed. The same seed gives the same conformer with one version of RDKit.

    Args:
        smiles: The molecule.
        seed: Seed of the conformer, 0 or above.
        optimize: Whether to relax the positions with a force field.

    Returns:
        `z`, `pos` (float32, Å), `bond_index`, `bond_order`, `formal_charge` and `smiles`, as given; the atoms in the
        order of the SMILES, then its implicit hydrogens.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: `smiles` is not a string.
        ValueError: the SMILES cannot be parsed, or has no atoms or dummy atoms; there is no conformer; no force field
            has parameters; or `seed` is negative.

    Example:
        >>> water = from_smiles("O")
        >>> water.z, water.bond_index
        (tensor([8, 1, 1]), tensor([[0, 0],
                [1, 2]]))
    """
    rdkit = import_rdkit("from_smiles")
    if not isinstance(smiles, str):
        raise TypeError(f"smiles must be a string; got {type(smiles).__name__}. For an RDKit molecule use from_rdkit.")
    if seed < 0:
        raise ValueError(f"seed must be 0 or above, for a conformer that can be made again; got {seed}.")
    with rdkit.rdBase.BlockLogs():  # RDKit writes to stderr what the errors below say
        mol = rdkit.Chem.AddHs(_parse(smiles))
        if mol.GetNumAtoms() == 0:
            raise ValueError(f"smiles must hold at least one atom; got {smiles!r}. Skip empty entries.")
        _refuse_dummies(mol)
        parameters = rdkit.Chem.rdDistGeom.ETKDGv3()
        parameters.randomSeed = seed
        if rdkit.Chem.rdDistGeom.EmbedMolecule(mol, parameters) < 0:
            parameters.useRandomCoords = True  # slower, but finds cages and large rings
            if rdkit.Chem.rdDistGeom.EmbedMolecule(mol, parameters) < 0:
                raise ValueError(
                    f"No conformer could be embedded for smiles {smiles!r}. Try another seed, look for stereochemistry "
                    "that its rings rule out, or make coordinates elsewhere and use from_rdkit or from_ase."
                )
        if optimize and mol.GetNumAtoms() > 1:
            _relax(mol, smiles)
        _separate_fragments(mol)
    data = from_rdkit(mol)
    data.smiles = smiles
    return data


def from_rdkit(mol: Any, conformer: int = -1) -> Data:
    """An RDKit molecule, with the positions of one of its conformers.

    Args:
        mol: An `rdkit.Chem.Mol` with explicit hydrogens and at least one 3D conformer.
        conformer: Id of the conformer; -1 for the first.

    Returns:
        `z`, `pos` (float32, Å), `bond_index`, `bond_order`, `formal_charge` (N,) int64 and `smiles` (canonical, without
        explicit hydrogens). Bonds of order zero, which RDKit has for contacts, are left out.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: `mol` is not an RDKit molecule.
        ValueError: the molecule has no such conformer, a flat drawing only, dummy atoms, or hydrogens without
            positions.
    """
    rdkit = import_rdkit("from_rdkit")
    if not isinstance(mol, rdkit.Chem.Mol):
        raise TypeError(f"mol must be an rdkit.Chem.Mol; got {type(mol).__name__}. For SMILES use from_smiles.")
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
    implicit = sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    if implicit:
        raise ValueError(
            f"mol must have explicit hydrogens; {implicit} are implicit and have no positions. Add them with "
            "rdkit.Chem.AddHs(mol, addCoords=True)."
        )
    _refuse_dummies(mol)
    z = torch.tensor([atom.GetAtomicNum() for atom in mol.GetAtoms()], dtype=torch.int64)
    pos = torch.tensor(geometry.GetPositions(), dtype=torch.float32).reshape(-1, 3)
    bonds = [bond for bond in mol.GetBonds() if bond.GetBondTypeAsDouble() > 0]
    pairs = [sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())) for bond in bonds]
    check_molecules(z, pos, batch=None)
    with rdkit.rdBase.BlockLogs():  # it warns of hydrogens that are no one's, as in H+
        smiles = rdkit.Chem.MolToSmiles(rdkit.Chem.RemoveHs(mol))
    return Data(
        z=z,
        pos=pos,
        bond_index=torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t().contiguous(),
        bond_order=torch.tensor([bond.GetBondTypeAsDouble() for bond in bonds], dtype=torch.float32),
        formal_charge=torch.tensor([atom.GetFormalCharge() for atom in mol.GetAtoms()], dtype=torch.int64),
        smiles=smiles,
    )


def to_rdkit(data: Data) -> Any:
    """A molecule with bonds, as an RDKit molecule.

    Args:
        data: `z`, `pos`, `bond_index`, `bond_order` (1, 1.5, 2 or 3) and, if there, `formal_charge`. All bonds and
            hydrogens must be there. Without `formal_charge`, charges are taken from what the bonds leave open, which
            is right for closed shells but for a few odd species: see
            :func:`molspectra.data.chemistry.formal_charge.infer_formal_charges`.

    Returns:
        A sanitised `rdkit.Chem.Mol`: the same atoms in the same order, all hydrogens explicit, one conformer, and the
        stereochemistry that the conformer has. Bonds come in the same order, and are aromatic where RDKit sees them so.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: a field has a wrong dtype.
        ValueError: `data` is a `Batch`, has no bonds, fields of wrong shape or value, or valences that RDKit refuses.

    Example:
        >>> import rdkit.Chem
        >>> rdkit.Chem.MolToSmiles(rdkit.Chem.RemoveHs(to_rdkit(from_smiles("C[N+](=O)[O-]"))))
        'C[N+](=O)[O-]'
    """
    rdkit = import_rdkit("to_rdkit")
    _check_convertible(data)
    bonds = list(zip(*data.bond_index.tolist(), data.bond_order.tolist(), strict=True))
    given = data.get("formal_charge")
    charges = infer_formal_charges(data.z.tolist(), bonds) if given is None else given.tolist()
    mol = rdkit.Chem.RWMol()
    for number, charge in zip(data.z.tolist(), charges, strict=True):
        atom = rdkit.Chem.Atom(number)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    kinds = rdkit.Chem.BondType
    types = {1: kinds.SINGLE, _AROMATIC: kinds.AROMATIC, 2: kinds.DOUBLE, 3: kinds.TRIPLE}
    for i, j, order in bonds:
        bond = mol.GetBondWithIdx(mol.AddBond(i, j, types[order]) - 1)
        if order == _AROMATIC:
            for part in (bond, bond.GetBeginAtom(), bond.GetEndAtom()):
                part.SetIsAromatic(True)
    conformer = rdkit.Chem.Conformer(len(charges))
    for index, position in enumerate(data.pos.tolist()):
        conformer.SetAtomPosition(index, position)
    mol.AddConformer(conformer)
    with rdkit.rdBase.BlockLogs():
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


def from_ase(atoms: Any) -> Data:
    """An ASE `Atoms` object, as a molecule without bonds.

    Args:
        atoms: An `ase.Atoms`, not periodic.

    Returns:
        `z` and `pos` (float32, Å); and, where its calculator holds results for these positions (nothing is computed
        here), `energy` (1,) float64 in eV and `forces` (N, 3) float32 in eV/Å.

    Raises:
        ImportError: ASE is not installed.
        TypeError: `atoms` is not an `ase.Atoms`.
        ValueError: the system is periodic or empty, or its elements or positions make no sense.

    Example:
        >>> from ase import Atoms
        >>> from_ase(Atoms("OH2", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]))
        Data(pos=[3, 3], z=[3])
    """
    try:
        from ase import Atoms
        from ase.calculators.calculator import PropertyNotImplementedError
    except ImportError as error:
        raise ImportError("from_ase needs ASE; install it with `pip install molspectra[ase]`.") from error
    if not isinstance(atoms, Atoms):
        raise TypeError(f"atoms must be an ase.Atoms; got {type(atoms).__name__}. Pass a trajectory frame by frame.")
    if bool(np.any(atoms.pbc)):
        raise ValueError(
            f"atoms must not be periodic; got pbc={atoms.pbc.tolist()}: neighbours across the cell would be missed. If "
            "the cell is only a box around a molecule that lies whole in it, set atoms.pbc = False."
        )
    data = Data(
        z=torch.tensor(atoms.numbers, dtype=torch.int64), pos=torch.tensor(atoms.positions, dtype=torch.float32)
    )
    check_molecules(data.z, data.pos, batch=None)
    results = {}
    for name in ("energy", "forces"):
        try:
            results[name] = atoms.calc and atoms.calc.get_property(name, atoms, allow_calculation=False)
        except PropertyNotImplementedError:
            results[name] = None
    if results["energy"] is not None:
        data.energy = torch.tensor([results["energy"]], dtype=torch.float64)
    if results["forces"] is not None:
        data.forces = torch.tensor(results["forces"], dtype=torch.float32)
    return data


def import_rdkit(needed_by: str) -> Any:
    """The RDKit package, its parts that are used here imported.

    Args:
        needed_by: What needs it, for the error message.

    Raises:
        ImportError: RDKit is not installed.
    """
    try:
        import rdkit.Chem.rdDistGeom
        import rdkit.Chem.rdForceFieldHelpers
        import rdkit.rdBase
    except ImportError as error:
        raise ImportError(f"{needed_by} needs RDKit; install it with `pip install molspectra[rdkit]`.") from error
    return rdkit


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
    unknown = set(data.bond_order.tolist()) - {1, _AROMATIC, 2, 3}
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
            f"formal_charge must have shape {tuple(data.z.shape)}, one entry an atom; got {tuple(charge.shape)}. Leave "
            "it out to have charges taken from the bonds."
        )


def _name(data: Data) -> str:
    """The SMILES of a molecule in brackets, for error messages, where there is one."""
    smiles = data.get("smiles")
    return f" ({smiles})" if isinstance(smiles, str) else ""


def _parse(smiles: str) -> Any:
    chem = import_rdkit("from_smiles").Chem
    mol = chem.MolFromSmiles(smiles)
    if mol is not None:
        return mol
    unchecked = chem.MolFromSmiles(smiles, sanitize=False)
    problems = [] if unchecked is None else [problem.Message() for problem in chem.DetectChemistryProblems(unchecked)]
    raise ValueError(
        f"smiles must be a valid SMILES string; got {smiles!r}: {'; '.join(problems) or 'syntax error'}. Correct it, "
        "or skip the molecule."
    )


def _refuse_dummies(mol: Any) -> None:
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            raise ValueError(
                f"The molecule must not have dummy atoms; atom {atom.GetIdx()} is one (* in SMILES). Replace "
                "attachment points, for example by hydrogen."
            )


def _separate_fragments(mol: Any) -> None:
    """Put fragments side by side along x; RDKit embeds each of them about the origin, on top of each other.

    They are not relaxed together: force-field minimisers fling neutral fragments hundreds of Å apart.
    """
    fragments = import_rdkit("from_smiles").Chem.GetMolFrags(mol)
    if len(fragments) == 1:
        return
    conformer = mol.GetConformer()
    positions, right = conformer.GetPositions(), 0.0
    for atoms in map(list, fragments):
        positions[atoms] -= positions[atoms].mean(axis=0)
        positions[atoms, 0] += right - positions[atoms, 0].min()
        right = positions[atoms, 0].max() + _FRAGMENT_GAP
    for atom, position in enumerate(positions - positions.mean(axis=0)):
        conformer.SetAtomPosition(atom, position.tolist())


def _relax(mol: Any, smiles: str) -> None:
    rdkit = import_rdkit("from_smiles")
    force_fields = rdkit.Chem.rdForceFieldHelpers
    relaxed = rdkit.Chem.Mol(mol)  # MMFF94 leaves a molecule with its own idea of which bonds are aromatic
    if force_fields.MMFFHasAllMoleculeParams(relaxed):
        run = force_fields.MMFFOptimizeMolecule
    elif force_fields.UFFHasAllMoleculeParams(relaxed):
        run = force_fields.UFFOptimizeMolecule
    else:
        raise ValueError(
            f"Neither MMFF94 nor UFF has parameters for all atoms of smiles {smiles!r}. Pass optimize=False to take "
            "the conformer as embedded, or make coordinates elsewhere and use from_rdkit or from_ase."
        )
    run(relaxed, maxIters=_FORCE_FIELD_STEPS, ignoreInterfragInteractions=True)
    conformer = mol.GetConformer()
    for atom, position in enumerate(relaxed.GetConformer().GetPositions().tolist()):
        conformer.SetAtomPosition(atom, position)
