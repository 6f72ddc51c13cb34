"""Conformers of molecules that are given as SMILES."""

from typing import Any

from torch_geometric.data import Data

from molspectra._validation import checked
from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.conformers import LARGEST_SEED, make_conformer, set_positions
from molspectra.data.chemistry.exceptional_bonds import warn_of_unknown_lengths
from molspectra.data.chemistry.rdkit import from_rdkit, refuse_dummies

# Å between the fragments of a disconnected SMILES, about a van der Waals contact.
_FRAGMENT_GAP = 3.0


@checked
def from_smiles(smiles: str, seed: int = 0, optimize: bool = True) -> Data:
    """Build one conformer of a molecule given as SMILES, with all hydrogens.

    Positions come from RDKit's ETKDGv3 and are then relaxed with MMFF94, or with UFF where MMFF94 lacks parameters
    (at most 2000 steps). Bonds without parameters are held at the sum of the covalent radii of Pyykkö and Atsumi, and
    atoms with five to seven electron pairs (PF6-, SF6, XeF4) get their polyhedra. The result is checked: where a bond
    is far from the sum of its radii, or atoms touch, the other force field and four more seeds are tried.

    Charged molecules, single atoms, ions and salts are accepted: the fragments of a disconnected SMILES are relaxed
    separately and placed side by side, 3 Å apart. Stereochemistry that the SMILES leaves open is drawn with the seed.
    The same seed gives the same conformer with one version of RDKit.

    Args:
        smiles: The molecule.
        seed: Seed of the conformer, 0 to 2^31 - 1.
        optimize: Relax the positions with a force field.

    Returns:
        `z`, `pos` (float32, Å), `bond_index`, `bond_order`, `formal_charge` and `smiles`, as given. The atoms are in
        the order of the SMILES, followed by its implicit hydrogens.

    Warns:
        UserWarning: a metal has bonds whose lengths are not known to 0.1 Å.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: `smiles` is not a string, or `seed` no whole number.
        ValueError: the SMILES cannot be parsed, has no atoms or has dummy atoms, no conformer is found or every one has
            faults, no force field has parameters, or `seed` is out of its range.

    Example:
        >>> water = from_smiles("O")
        >>> water.z, water.bond_index
        (tensor([8, 1, 1]), tensor([[0, 0],
                [1, 2]]))
    """
    rdkit = import_rdkit("from_smiles")
    seed = int(seed)  # RDKit takes no integers of NumPy
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(
            f"seed must be 0 or above, for a conformer that can be made again, and at most {LARGEST_SEED}; got {seed}."
        )
    with rdkit.rdBase.BlockLogs():  # the errors below say what RDKit writes to stderr
        mol = rdkit.Chem.AddHs(parse_smiles(smiles))
        if mol.GetNumAtoms() == 0:
            raise ValueError(f"smiles must hold at least one atom; got {smiles!r}. Skip empty entries.")
        refuse_dummies(mol)
        make_conformer(mol, smiles, seed, optimize and mol.GetNumAtoms() > 1)
        _separate_fragments(mol)
    warn_of_unknown_lengths(mol)
    data = from_rdkit(mol)
    data.smiles = smiles
    return data


def parse_smiles(smiles: str) -> Any:
    """Return the RDKit molecule of a SMILES.

    Raises:
        ImportError: RDKit is not installed.
        ValueError: the SMILES cannot be parsed.
    """
    chem = import_rdkit("parse_smiles").Chem
    mol = chem.MolFromSmiles(smiles)
    if mol is not None:
        return mol
    unchecked = chem.MolFromSmiles(smiles, sanitize=False)
    problems = [] if unchecked is None else [problem.Message() for problem in chem.DetectChemistryProblems(unchecked)]
    raise ValueError(
        f"smiles must be a valid SMILES string; got {smiles!r}: {'; '.join(problems) or 'syntax error'}. Correct it, "
        "or skip the molecule."
    )


def _separate_fragments(mol: Any) -> None:
    """Place the fragments of a molecule side by side along x.

    RDKit embeds each fragment about the origin, on top of the others. They are not relaxed together, because
    force-field minimizers fling neutral fragments hundreds of Å apart.
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
    set_positions(mol, positions - positions.mean(axis=0))
