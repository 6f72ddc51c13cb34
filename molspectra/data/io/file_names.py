"""Names of files that molecules are read from."""

import os
import re

from molspectra.data.io.tables import TABLE_FILES

SDF_FILES = (".sdf", ".sd", ".mol")
XYZ_FILES = (".xyz", ".extxyz")
SMILES_FILES = (".smi", ".smiles")
MOLECULE_FILES = SDF_FILES + XYZ_FILES + SMILES_FILES + TABLE_FILES
"""Endings of the files that can be read."""

# A name and an ending with a lower-case letter that no SMILES has, or a separator of folders before them.
_FILE_NAME = re.compile(r"[^=#]*\.[a-z][a-z0-9]{1,7}")


def unknown_file(path: str) -> str:
    """Return the message for a file that cannot be read."""
    return (
        f"A file must end in one of {', '.join(MOLECULE_FILES)}; got {path!r}. Convert it to .sdf, for example with "
        "Open Babel."
    )


def is_file_name(text: str) -> bool:
    """Return True if text that is no SMILES looks like the name of a file, or is one."""
    return _FILE_NAME.fullmatch(text.strip()) is not None or os.path.isfile(text)
