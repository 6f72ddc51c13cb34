"""Structure and kind of spectrum that a JCAMP-DX file states about itself."""

import re
from pathlib import Path
from typing import NamedTuple

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.io.text import read_lines

_KINDS = {"INFRARED": "ir", "RAMAN": "raman", "UV": "uv_vis", "MASS": "msms"}
_NUCLEI = {"1H": "h_nmr", "13C": "c_nmr", "15N": "n_nmr", "19F": "f_nmr", "31P": "p_nmr"}


class StatedStructure(NamedTuple):
    """Statements of a JCAMP-DX file, each empty where it says nothing."""

    title: str
    smiles: str
    inchi: str
    cas: str
    """CAS registry number, digits and hyphens."""
    kind: str
    """Name of the kind, such as "ir", from DATA TYPE and .OBSERVE NUCLEUS."""


def stated_structure(path: Path) -> StatedStructure:
    """Read the labels TITLE, SMILES, INCHI, CAS REGISTRY NO and DATA TYPE, with or without $ before them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text.
    """
    labels: dict[str, str] = {}
    for line in read_lines(path):
        if line.lstrip().startswith("##") and "=" in line:
            label, _, text = line.lstrip()[2:].partition("=")
            labels.setdefault(re.sub(r"[\s/_$-]", "", label).upper(), text.split("$$")[0].strip())
    kind = next((kind for word, kind in _KINDS.items() if labels.get("DATATYPE", "").upper().startswith(word)), "")
    nucleus = labels.get(".OBSERVENUCLEUS", "").strip("^<>")
    return StatedStructure(
        labels.get("TITLE", ""),
        labels.get("SMILES", ""),
        labels.get("INCHI", ""),
        labels.get("CASREGISTRYNO", ""),
        kind or _NUCLEI.get(nucleus, ""),
    )


def smiles_of_inchi(inchi: str) -> str:
    """Convert an InChI to a SMILES.

    Raises:
        ImportError: RDKit is not installed.
        ValueError: it cannot be read.
    """
    rdkit = import_rdkit("Reading an InChI")
    with rdkit.rdBase.BlockLogs():
        mol = rdkit.Chem.MolFromInchi(inchi if inchi.startswith("InChI=") else f"InChI={inchi}")
    if mol is None:
        raise ValueError(f"the InChI must be valid; got {inchi!r}.")
    return str(rdkit.Chem.MolToSmiles(mol))
