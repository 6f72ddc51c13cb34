"""Likeness of molecules: InChIKey, Morgan fingerprints with their Tanimoto similarity, and MCES distance."""

import shutil
from collections.abc import Sequence
from functools import cache
from typing import Any

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.smiles import parse_smiles


def parse_all(name: str, smiles: Sequence[str]) -> list[Any]:
    """Return RDKit's molecules of a list of SMILES.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: one text is given, or an entry is no text.
        ValueError: an entry cannot be parsed or has no atoms.
    """
    rdkit = import_rdkit(name)
    if isinstance(smiles, str) or not all(isinstance(text, str) for text in smiles):
        raise TypeError(f"{name} must be a sequence of SMILES; got {smiles!r:.60}.")
    molecules = []
    with rdkit.rdBase.BlockLogs():  # the errors say what RDKit writes to stderr
        for row, text in enumerate(smiles):
            try:
                molecules.append(parse_smiles(text))
            except ValueError as error:
                raise ValueError(f"{name}, number {row}: {error}") from None
            if molecules[-1].GetNumAtoms() == 0:
                raise ValueError(f"{name}, number {row}: the SMILES {text!r} has no atoms. Leave it out.")
    return molecules


def skeleton_key(molecule: Any) -> str:
    """Return the first block of the InChIKey: the same for stereoisomers, isotopologues and most tautomers.

    A molecule without an InChI is named by its canonical SMILES without stereochemistry.
    """
    rdkit = import_rdkit("skeleton_key")
    with rdkit.rdBase.BlockLogs():
        key: str = rdkit.Chem.MolToInchiKey(molecule)
        return key[:14] or rdkit.Chem.MolToSmiles(molecule, isomericSmiles=False)


def morgan_fingerprints(molecules: Sequence[Any]) -> list[Any]:
    """Return Morgan fingerprints of radius 2 and 2048 bits, without stereochemistry."""
    rdkit = import_rdkit("morgan_fingerprints")
    generator = rdkit.Chem.rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    return list(generator.GetFingerprints(list(molecules)))


def tanimoto(fingerprint: Any, others: Sequence[Any]) -> list[float]:
    """Return the Tanimoto similarities of one fingerprint to others."""
    return import_rdkit("tanimoto").DataStructs.BulkTanimotoSimilarity(fingerprint, others)


def mces_distance(first: str, second: str, threshold: float) -> float:
    """Return the size of what is outside the largest common subgraph of two molecules, in bonds weighted by order.

    Above the threshold it is a lower bound (Kretschmer et al., "Coverage bias in small molecule machine learning",
    Nat. Commun. 16, 554 (2025)).

    Raises:
        ImportError: myopic-mces is not installed.
    """
    try:
        from myopic_mces import MCES
    except ImportError as error:
        raise ImportError('mces=True needs myopic-mces: pip install "molspectra[mces]", or mces=False.') from error
    return float(MCES(first, second, threshold=threshold, solver_options=_solver_options())[1])


@cache
def _solver_options() -> dict[str, Any]:
    """Return options of the solver CBC, with its path where it is installed as a package and not on the PATH."""
    options: dict[str, Any] = {"msg": False, "threads": 1}
    if shutil.which("cbc") is None:
        try:
            from cbcbox import cbc_bin_path
        except ImportError:
            return options
        options["path"] = cbc_bin_path()
    return options
